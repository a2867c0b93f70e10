//! Every command of the window that takes no arguments, one row each: name, text in the palette,
//! keys, and the function that carries it out.
//!
//! The table is a macro because two files read it. [`super::shortcuts`] takes names and keys, so
//! that panels can show them without knowing the app; [`super::commands`] takes the functions, of
//! type `fn(&mut App, &egui::Context)`. A row without a function does not compile, and a new
//! command is one row here.

/// Hands the rows to a macro: `Section { Name "Text" [MODIFIERS Key]… => function, … }`.
macro_rules! ui_commands {
    ($with:ident) => {
        $with! {
            Views {
                ShowStage "Stage: one map over the picture" [NONE S]
                    => |app, _| view::show(app, ViewKind::Overlay),
                ShowHeads "Heads: every head of the layer" [NONE H]
                    => |app, _| view::show(app, ViewKind::Heads),
                ShowWall "Wall: every head of every layer" [NONE W]
                    => |app, _| view::change(app, |state, _| Command::SetView(match state.view {
                        // A second press of the key goes back to the overlay.
                        ViewKind::Wall => ViewKind::Overlay,
                        _ => ViewKind::Wall,
                    })),
                ShowMatrix "Layer × head matrix" [NONE L]
                    => |app, _| view::show(app, ViewKind::LayerHead),
                ShowTokenMatrix "Token matrix of the head" [NONE T]
                    => |app, _| view::show(app, ViewKind::TokenMatrix),
                ShowPictures "Pictures: every picture or video frame side by side" [SHIFT P]
                    => |app, _| view::show(app, ViewKind::Pictures),
                ShowRelevancy "Relevancy" [SHIFT R]
                    => |app, _| relevancy::show_view(app),
                ShowCauses "Graph: causes of the answer token" [SHIFT C]
                    => |app, _| causes::show_view(app),
                ShowDataSet "Data set: the table of many answers, or back" [SHIFT T]
                    => |app, _| data_set::toggle(app),
                ZoomIn "Zoom in" [NONE Equals] [NONE Plus]
                    => |app, _| view::change(app, |state, _| Command::ZoomBy {
                        factor: 1.25, about: state.camera.centre,
                    }),
                ZoomOut "Zoom out" [NONE Minus]
                    => |app, _| view::change(app, |state, _| Command::ZoomBy {
                        factor: 0.8, about: state.camera.centre,
                    }),
                ZoomFit "Fit to the window" [NONE Num0]
                    => |app, _| view::apply(app, &Command::SetCamera(Camera::default())),
            }
            Scrub {
                NextToken "Next answer token" [NONE ArrowRight]
                    => |app, _| view::apply(app, &Command::StepQuery(1)),
                PreviousToken "Previous answer token" [NONE ArrowLeft]
                    => |app, _| view::apply(app, &Command::StepQuery(-1)),
                FirstToken "First answer token" [NONE Home]
                    => |app, _| view::apply(app, &Command::SetQueries(Queries::answer(0))),
                LastToken "Last answer token" [NONE End]
                    => |app, _| view::change(app, |_, doc| {
                        Command::SetQueries(Queries::answer(doc.extent.answers.saturating_sub(1)))
                    }),
                AllTokens "All answer tokens" [NONE A]
                    => |app, _| view::apply(app, &Command::SetQueries(Queries {
                        kind: QueryKind::Answer, set: AxisSet::MEAN,
                    })),
                NextLayer "Next layer" [NONE ArrowDown]
                    => |app, _| view::apply(app, &Command::StepLayer(1)),
                PreviousLayer "Previous layer" [NONE ArrowUp]
                    => |app, _| view::apply(app, &Command::StepLayer(-1)),
                NextHead "Next head" [NONE CloseBracket]
                    => |app, _| view::apply(app, &Command::StepHead(1)),
                PreviousHead "Previous head" [NONE OpenBracket]
                    => |app, _| view::apply(app, &Command::StepHead(-1)),
                NextFrame "Next picture or video frame" [SHIFT ArrowRight]
                    => |app, _| view::apply(app, &Command::StepPicture(1)),
                PreviousFrame "Previous picture or video frame" [SHIFT ArrowLeft]
                    => |app, _| view::apply(app, &Command::StepPicture(-1)),
                Mean "Mean of all layers and heads" [NONE M]
                    => |app, _| view::change(app, |state, _| {
                        with_axes(state, AxisSet::MEAN, AxisSet::MEAN)
                    }),
                Max "Maximum of all layers and heads" [SHIFT M]
                    => |app, _| view::change(app, |state, _| {
                        with_axes(state, AxisSet::MAX, AxisSet::MAX)
                    }),
                MeanLayers "Mean of the layers"
                    => |app, _| view::apply(app, &Command::SetLayers(AxisSet::MEAN)),
                MeanHeads "Mean of the heads"
                    => |app, _| view::apply(app, &Command::SetHeads(AxisSet::MEAN)),
                BestHead "Best head: focused on the picture" [NONE B]
                    => |app, _| view::best_head(app, false),
                NextBestHead "Next best head" [NONE N]
                    => |app, _| view::best_head(app, true),
                MarkObject "Mark an object in the picture: which head looks at it?" [NONE Y]
                    => |app, _| marking::toggle(app),
                NextObject "Choose the next marked object, or none" [SHIFT Y]
                    => |app, _| marking::next(app),
                RenameObject "Rename the chosen object" => |app, _| marking::rename(app),
                DeleteObject "Delete the chosen object" [NONE Backspace]
                    => |app, _| marking::delete(app),
                HeadInAnswers "The chosen head in every open answer"
                    => |app, _| heads::in_answers(app),
                KeepHeads "Keep the chosen heads as a named set"
                    => |app, _| heads::keep(app),
                ResetSelection "Clear the selected patches" [NONE R]
                    => |app, _| view::apply(app, &Command::SelectPatches(Vec::new())),
                Undo "Undo" [CTRL Z] => |app, _| undo::undo(app),
                Redo "Redo" [CTRL_SHIFT Z] [CTRL Y] => |app, _| undo::redo(app),
            }
            Play {
                Play "Play or pause" [NONE Space] => |app, _| playing::toggle(app),
                PlayTokens "Play through the answer tokens" [NONE Num1]
                    => |app, _| playing::through(app, PlayAxis::Tokens),
                PlayLayers "Play through the layers" [NONE Num2]
                    => |app, _| playing::through(app, PlayAxis::Layers),
                PlayHeads "Play through the heads" [NONE Num3]
                    => |app, _| playing::through(app, PlayAxis::Heads),
                PlayFrames "Play through the pictures or video frames" [NONE Num4]
                    => |app, _| playing::through(app, PlayAxis::Frames),
                Faster "Play faster" [NONE Period] => |app, _| app.transport.change_speed(1),
                Slower "Play slower" [NONE Comma] => |app, _| app.transport.change_speed(-1),
                ToggleLoop "Loop playback on or off" [SHIFT L]
                    => |app, _| app.transport.repeat ^= true,
            }
            Look {
                NextColormap "Next colour map" [NONE C]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetColormap(next_of(ColorMap::ALL, state.colormap))
                    }),
                NextBlend "Next blend mode" [NONE V]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetBlend(next_of(Blend::ALL, state.blend))
                    }),
                NextInterpolation "Next interpolation" [NONE I]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetInterpolation(next_of(Interpolation::ALL, state.interpolation))
                    }),
                NextNormalisation "Next normalisation" [NONE K]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetNormalise(view::next_normalisation(state.normalise))
                    }),
                NextQuantity "Next quantity of the matrix" [NONE Q]
                    => |app, _| view::change(app, |state, doc| {
                        let shown = doc.extent.quantities(state);
                        Command::SetQuantity(next_of(&shown, state.quantity))
                    }),
                NextHeadOrder "Next order of the heads" [NONE E]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetHeadOrder(next_of(&state.head_orders(), state.head_order))
                    }),
                ToggleGrid "Patch grid on or off" [NONE G]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetGrid(next_of(PatchGrid::ALL, state.grid))
                    }),
                ToggleBos "Leave out the BOS column" [NONE O]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetRemoveBos(!state.remove_bos)
                    }),
                ToggleEveryPatch "Token matrix: every patch, or each picture as one column"
                    => |app, _| view::change(app, |state, _| {
                        Command::SetEveryPatch(!state.every_patch)
                    }),
                PinMap "Pin this map and compare others with it" [NONE X]
                    => |app, _| view::change(app, view::pin),
                NextMix "Next comparison mode for the pinned map" [SHIFT X]
                    => |app, _| view::next_mix(app),
                TogglePicture "Original or preprocessed picture" [NONE P]
                    => |app, _| view::change(app, |state, _| {
                        Command::SetImageForm(next_of(ImageForm::ALL, state.picture.form))
                    }),
                LvlmInterpretLook "LVLM-Interpret look"
                    => |app, _| view::apply(app, &Command::LvlmInterpretLook),
                DefaultLook "Default look" => |app, _| view::change(app, view::default_look),
            }
            Ask {
                FocusQuestion "Ask a question" [NONE Slash] [CTRL L]
                    => |app, _| ask::focus_question(app),
                Stop "Stop" [NONE Escape] => |app, _| window::escape(app),
                Regenerate "Answer again" [CTRL R] => |app, _| ask::regenerate(app),
                NewConversation "New conversation on this picture" [CTRL N]
                    => |app, _| ask::new_conversation(app),
                PreviousAnswer "Previous question" [NONE PageUp] => |app, _| ask::step(app, -1),
                NextAnswer "Next question" [NONE PageDown] => |app, _| ask::step(app, 1),
                EditPicture "Edit the picture, or return to the view" [NONE D]
                    => |app, _| edit_picture::toggle(app),
                AskEdited "Ask about the edited picture" [SHIFT D]
                    => |app, _| edit_picture::ask_again(app),
                OcclusionMap "Occlusion map: cover the picture part by part"
                    => |app, _| interventions::occlusion_map(app),
                CheckWords "Check every word: is it grounded in the picture, or hallucinated?"
                    => |app, _| grounding::check_words(app),
                EachHeadOff "Switch off every head, one at a time"
                    => |app, _| interventions::each_head(app),
                HeadOff "Switch off the selected heads"
                    => |app, _| what_if::shown_heads_off(app),
                KnockOutPatches "Block attention to the selected patches"
                    => |app, _| what_if::cut_patches(app, false),
                KeepOnlyPatches "Block attention to all but the selected patches"
                    => |app, _| what_if::cut_patches(app, true),
                ComputeRelevancy "Compute relevancy of every word"
                    => |app, _| relevancy::compute_missing(app, false),
                ComputeEveryRelevancy "Compute relevancy of every word: language model, vision tower and both"
                    => |app, _| relevancy::compute_missing(app, true),
                TestMap "Test this map by blanking patches" => |app, _| score::start(app),
                OpenModel "Open a model folder…" [CTRL M] => |app, _| ask::open_model(app),
                BuiltInModel "Use the built-in model" => |app, _| ask::use_built_in_model(app),
            }
            Files {
                OpenFile "Open a picture, trace or table…" [CTRL O] => |app, _| files::ask_what_to_open(app),
                Paste "Paste a picture" [CTRL V]
                    => |app, _| app.host.push(HostRequest::PastePicture),
                SaveTrace "Save the trace…" [CTRL S] => |app, _| files::save_trace(app),
                SavePng "Save this view as PNG…" [CTRL E]
                    => |app, ctx| files::save(app, ctx, FigureKind::Png),
                SaveSvg "Save this view as SVG…" [CTRL_SHIFT E]
                    => |app, ctx| files::save(app, ctx, FigureKind::Svg),
                CopyImage "Copy this view as an image" [CTRL_SHIFT C] => files::copy_image,
                SaveNumbers "Save the numbers of this view…"
                    => |app, ctx| files::save(app, ctx, FigureKind::Csv),
                CopyNumbers "Copy the numbers of this view as CSV" => files::copy_numbers,
                CopyCommandLine "Copy the command line that draws this view"
                    => files::copy_command_line,
                OpenSample "Open the chosen sample of the data set" [NONE Enter]
                    => |app, _| data_set::open_chosen(app),
                NextSample "Next sample of the data set" [SHIFT PageDown]
                    => |app, _| samples::step(app, 1),
                PreviousSample "Previous sample of the data set" [SHIFT PageUp]
                    => |app, _| samples::step(app, -1),
                SaveTableRanking "Save the data set's ranking of heads: PNG, SVG or CSV…"
                    => |app, _| data_set::save_ranking(app),
                SaveTableSamples "Save the data set's shown samples as CSV…"
                    => |app, _| data_set::save_samples(app),
                FolderDataSet "Show the traces in the folder of this answer as a data set"
                    => |app, _| data_set::of_shown_folder(app),
                CloseDataSet "Close the table" => |app, _| data_set::close_shown(app),
                Bookmark "Bookmark this view" [CTRL D] => |app, _| bookmarks::add(app),
            }
            Show {
                Present "Present on a large screen" [NONE F5] => |app, _| show::present(app),
                RecordFilm "Record a film…" [CTRL_SHIFT R] => |app, _| show::ask_for_film(app),
                RecordTake "Record my steps as a walkthrough, or stop" [SHIFT N]
                    => |app, _| show::toggle_take(app),
                EditWalkthrough "Make a walkthrough of this answer" [CTRL W]
                    => |app, _| walkthrough_files::of_answer(app),
                WalkthroughOfBookmarks "Make a walkthrough from the bookmarks"
                    => |app, _| walkthrough_files::of_bookmarks(app),
                PreviewWalkthrough "Switch between the walkthrough and the view" [NONE J]
                    => |app, _| walkthrough::toggle_preview(app),
                AddView "Add this view to the walkthrough" [NONE Insert]
                    => |app, _| walkthrough::add_view(app),
                UseView "Replace the view of the selected step by this one" [NONE U]
                    => |app, _| walkthrough::use_view(app),
                RemoveStep "Remove the selected step" [NONE Delete]
                    => |app, _| walkthrough::change(app, Editor::remove_selected),
                DuplicateStep "Duplicate the selected step"
                    => |app, _| walkthrough::change(app, Editor::duplicate_selected),
                EarlierStep "Move the selected step earlier"
                    => |app, _| walkthrough::change(app, |editor| editor.move_selected(-1)),
                LaterStep "Move the selected step later"
                    => |app, _| walkthrough::change(app, |editor| editor.move_selected(1)),
                TrimBefore "Trim: remove everything before the playhead"
                    => |app, _| walkthrough::change(app, |editor| {
                        editor.edit(&Edit::Trim([editor.at_secs(), f64::MAX]));
                    }),
                TrimAfter "Trim: remove everything after the playhead"
                    => |app, _| walkthrough::change(app, |editor| {
                        editor.edit(&Edit::Trim([0.0, editor.at_secs()]));
                    }),
                AddTitle "Add a title card"
                    => |app, _| walkthrough::change(app, Editor::add_title),
                AddEnd "Add an end card" => |app, _| walkthrough::change(app, Editor::add_end),
                SaveWalkthrough "Save the walkthrough…" [CTRL_SHIFT S]
                    => |app, _| walkthrough_files::save(app),
                SaveWalkthroughAs "Save the walkthrough under another name…"
                    => |app, _| walkthrough_files::save_as(app),
                PackWalkthrough "Pack the walkthrough with its traces…"
                    => |app, _| walkthrough_files::pack(app),
                CloseWalkthrough "Close the walkthrough" => |app, _| walkthrough_files::close(app),
            }
            Window {
                Palette "All commands…" [CTRL P] => |app, _| app.palette_open ^= true,
                Help "Keyboard shortcuts" [NONE Questionmark] [NONE F1]
                    => |app, _| app.help_open ^= true,
                FullScreen "Full screen" [NONE F] [NONE F11]
                    => |app, _| app.host.push(HostRequest::ToggleFullScreen),
                ToggleChat "Chat panel" [CTRL B]
                    => |app, _| window::toggle_chat(app),
                ToggleInspector "Inspector panel" [CTRL I]
                    => |app, _| window::toggle_inspector(app),
                ToggleTokens "Token strip" [CTRL T]
                    => |app, _| app.settings.show_tokens ^= true,
                ToggleTheme "Dark or light theme" => window::toggle_theme,
                LargerType "Larger text" [CTRL Plus] [CTRL Equals]
                    => |app, ctx| window::scale_text(app, ctx, 0.1),
                SmallerType "Smaller text" [CTRL Minus]
                    => |app, ctx| window::scale_text(app, ctx, -0.1),
                DefaultType "Usual text size" [CTRL Num0]
                    => |app, _| window::reset_text(app),
                ToggleAnimation "Cross-fade between views" => |app, _| window::toggle_animation(app),
                Reopen "Bring back the answer or bookmark that was closed last" [CTRL_SHIFT T]
                    => |app, _| close::reopen(app),
                StartFresh "Start fresh: close every answer and the walkthrough"
                    => |app, _| walkthrough_files::start_fresh(app),
                ResetLayout "Reset the layout" => |app, _| window::reset_layout(app),
                Quit "Quit" [CTRL Q] => |app, _| walkthrough_files::quit(app),
            }
        }
    };
}

pub(super) use ui_commands;
