//! The table of all methods, in the order in which they are listed for people.
//!
//! `--help` and the table of docs/methods.md are generated from it; a test checks the table.

use super::info::{Computation, Forward, Layout, Method, MethodInfo};
use super::{attention, gradients, heads, random, relative, rollout, sinks};
use crate::trace::{GRADIENT_ATTENTION, Trace};
use std::str::FromStr;

macro_rules! methods {
    ($($(#[$doc:meta])* $constant:ident = $info:expr;)+) => {
        impl Method {
            $($(#[$doc])* pub const $constant: Self = Self(&$info);)+

            /// All methods.
            pub const ALL: &[Self] = &[$(Self::$constant),+];
        }
    };
}

methods! {
    /// The mean attention.
    ATTENTION = MethodInfo {
        name: "attention",
        aliases: &[],
        tensor: "map.attention",
        title: "attention, mean",
        summary: "attention to the patches, mean over layers and heads",
        definition: "mean over layers and heads of A[l, h, q, patches]",
        source: "",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Trace(attention::mean),
    };
    /// The mean attention without BOS.
    NO_BOS = MethodInfo {
        name: "no-bos",
        aliases: &[],
        tensor: "map.no-bos",
        title: "attention without BOS",
        summary: "attention without the BOS key, each row renormalised",
        definition: "key 0 dropped and each row renormalised, then the mean",
        source: "",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Trace(attention::mean_without_bos),
    };
    /// The mean attention without BOS and sinks.
    NO_SINKS = MethodInfo {
        name: "no-sinks",
        aliases: &[],
        tensor: "map.no-sinks",
        title: "attention without sinks",
        summary: "attention without BOS and all attention sinks, each row renormalised",
        definition: "BOS and all sinks dropped and each row renormalised, then the mean; the command says which tokens were removed",
        source: "sinks: VisAttnSink (ICLR 2025), found here by the attention that they receive",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Trace(sinks::map),
    };
    /// The mean over the heads of lowest spatial entropy.
    HEADS = MethodInfo {
        name: "heads",
        aliases: &[],
        tensor: "map.heads",
        title: "sharpest heads",
        summary: "mean of the three heads with the most focused attention on the picture",
        definition: "mean of the three heads with the lowest spatial entropy among those with an \
            image share above the average",
        source: "arXiv 2503.06287",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Trace(heads::map),
    };
    /// Attention rollout.
    ROLLOUT = MethodInfo {
        name: "rollout",
        aliases: &[],
        tensor: "map.rollout",
        title: "rollout",
        summary: "attention rollout through all layers",
        definition: "row q of Â_L … Â_1, Â_l = rownorm(mean_h A_l + I)",
        source: "arXiv 2005.00928",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Trace(rollout::map),
    };
    /// Attention divided by the attention under a general question.
    RELATIVE = MethodInfo {
        name: "relative",
        aliases: &[],
        tensor: "map.relative",
        title: "relative attention",
        summary: "attention divided by the attention under a general question",
        definition: "A_l[q] / A_l[last] under \"Write a general description of the image.\", mean over heads, at layer 14/32 of the depth",
        source: "arXiv 2502.17422",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Forward(Forward {
            question: relative::GENERAL_QUESTION,
            layer: relative::relative_layer,
            map: relative::map,
        }),
    };
    /// Gradient × attention of every layer and head.
    GRADIENT_ATTENTION = MethodInfo {
        name: "gradient-attention",
        aliases: &[],
        tensor: GRADIENT_ATTENTION,
        title: "gradient × attention, every head",
        summary: "gradient × attention of every layer and head, for the wall and the heads view",
        definition: "A ⊙ max(∇A, 0) of each layer and head at row q; `score` uses its mean, \
            `grad-attention`",
        source: "arXiv 2502.17422",
        layout: Layout::Pages { mean: Self::GRAD_ATTENTION },
        signed: false,
        run: Computation::GradientPages,
    };
    /// The mean of gradient × attention.
    GRAD_ATTENTION = MethodInfo {
        name: "grad-attention",
        aliases: &["gradient-attention-mean"],
        tensor: "map.grad-attention",
        title: "gradient × attention",
        summary: "the mean of gradient-attention over layers and heads, as one map",
        definition: "mean over layers and heads of A ⊙ max(∇A, 0) at row q",
        source: "arXiv 2502.17422",
        layout: Layout::Patches,
        signed: false,
        run: Computation::FromGradientPages(gradients::mean_of_pages),
    };
    /// Relevancy through the language model.
    LLM = MethodInfo {
        name: "llm",
        aliases: &["relevancy-llm"],
        tensor: "relevancy.llm",
        title: "relevancy, language model",
        summary: "relevancy through the language model; two backward passes for all words",
        definition: "relevancy by rules 5 and 6 through the language model; the prompt's rows use \
            the gradient of the first token's score, as in LVLM-Interpret",
        source: "arXiv 2103.15679",
        layout: Layout::Positions,
        signed: false,
        run: Computation::AnswerGradients(gradients::llm),
    };
    /// Relevancy through the language model, each row from the token's own gradient.
    LLM_OWN = MethodInfo {
        name: "llm-own",
        aliases: &["relevancy-llm-own"],
        tensor: "relevancy.llm_own",
        title: "relevancy, own gradients",
        summary: "llm with each word's own gradient in every row; one backward pass per word",
        definition: "relevancy.llm with the token's own gradient in every row",
        source: "arXiv 2103.15679",
        layout: Layout::Positions,
        signed: false,
        run: Computation::OwnGradients(gradients::llm_own),
    };
    /// Relevancy through the vision tower.
    VIT = MethodInfo {
        name: "vit",
        aliases: &["relevancy-vit"],
        tensor: "relevancy.vit",
        title: "relevancy, vision tower",
        summary: "relevancy through the vision tower alone; one backward pass per word",
        definition: "the class token's row of R_vision, the product through the vision tower's layers",
        source: "arXiv 2103.15679, LVLM-Interpret",
        layout: Layout::Patches,
        signed: false,
        run: Computation::TowerGradients(gradients::vit),
    };
    /// Relevancy through the vision tower and the language model.
    ALL_LAYERS = MethodInfo {
        name: "all",
        aliases: &["relevancy-all"],
        tensor: "relevancy.all",
        title: "relevancy, both",
        summary: "relevancy through tower and language model; one backward pass per word",
        definition: "the class token's row of R_vision · R_llm: `vit` placed at the picture's \
            positions and propagated through the language model",
        source: "arXiv 2103.15679, LVLM-Interpret",
        layout: Layout::Patches,
        signed: false,
        run: Computation::TowerGradients(gradients::all),
    };
    /// The effect of covering parts of the picture.
    OCCLUSION = MethodInfo {
        name: "occlusion",
        aliases: &[],
        tensor: "map.occlusion",
        title: "occlusion",
        summary: "how much each part of the picture supports the answer: `vlmscope occlusion`",
        definition: "log p(token) − log p(token) with a window of the picture covered; `vlmscope occlusion` computes it",
        source: "arXiv 1311.2901",
        layout: Layout::Patches,
        signed: true,
        run: Computation::Command("occlusion"),
    };
    /// Random numbers: the control.
    RANDOM = MethodInfo {
        name: "random",
        aliases: &[],
        tensor: "map.random",
        title: "random control",
        summary: "random numbers: the control that every method must beat",
        definition: "uniform random numbers: the control",
        source: "",
        layout: Layout::Patches,
        signed: false,
        run: Computation::Trace(random::map),
    };
}

impl Method {
    /// The method that writes the tensor or pages of this name.
    pub fn of_tensor(tensor: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|method| method.tensor == tensor)
    }

    /// Maps for the relevancy view, the best first.
    const RELEVANCY_VIEW: [Self; 3] = [Self::LLM, Self::ALL_LAYERS, Self::VIT];

    /// The first method of `RELEVANCY_VIEW` whose map the trace holds.
    pub fn best_relevancy(trace: &Trace) -> Option<Self> {
        let names = trace.map_names();
        Self::RELEVANCY_VIEW.into_iter().find(|method| names.contains(&method.tensor))
    }

    /// A line for each method: its name and its summary, as `--help` lists them.
    pub fn help() -> String {
        let longest = Self::ALL.iter().map(|method| method.name.len()).max().unwrap_or(0);
        let line = |method: &Self| format!("  {:longest$}  {}\n", method.name, method.summary);
        Self::ALL.iter().map(line).collect()
    }
}

impl FromStr for Method {
    type Err = String;

    /// Takes the name or another spelling (with - or _), or the tensor's name.
    fn from_str(text: &str) -> Result<Self, String> {
        let spelled = text.trim().replace('_', "-");
        let spelled = spelled.as_str();
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name == spelled || method.aliases.contains(&spelled))
            .or_else(|| Self::of_tensor(text.trim()))
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|method| method.name).collect();
                format!("`{text}` is not a method; the methods are {}", known.join(", "))
            })
    }
}
