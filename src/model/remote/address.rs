//! The address of a model on another machine: `ssh://USER@HOST:PORT/PATH` or `exec:PROGRAM ARGUMENTS`.

use crate::model::request::Device;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The program on the other machine, where the address names none.
const PROGRAM: &str = "vlmscope";
/// Names another program in place of `ssh`.
pub const SSH_VARIABLE: &str = "VLMSCOPE_SSH";

/// ssh could not read a password: its standard input carries frames, and a window has no terminal. A network that is gone
/// is noticed within a minute.
const SSH_OPTIONS: [&str; 3] = ["BatchMode=yes", "ServerAliveInterval=15", "ServerAliveCountMax=3"];

/// The address of a model on another machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    route: Route,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Ssh {
        user: Option<String>,
        host: String,
        port: Option<u16>,
        program: String,
    },
    /// Program and arguments.
    Exec(Vec<String>),
}

/// The options about the model that the other machine gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServeFlags {
    /// The bundle there; `None`: the built-in model.
    pub model: Option<PathBuf>,
    /// The device.
    pub device: Device,
    /// Threads for one operator.
    pub threads: Option<usize>,
    /// ONNX Runtime's library there.
    pub runtime: Option<PathBuf>,
}

impl ServeFlags {
    fn words(&self) -> Vec<String> {
        let mut words: Vec<String> = ["serve", "--stdio"].map(str::to_owned).to_vec();
        let mut add = |flag: &str, value: String| words.extend([flag.to_owned(), value]);
        let text = |path: &Path| path.to_string_lossy().into_owned();
        if let Some(model) = &self.model {
            add("--model", text(model));
        }
        match self.device {
            Device::Auto => {}
            Device::Cpu => add("--device", "cpu".into()),
            Device::Cuda => add("--device", "cuda".into()),
        }
        if let Some(threads) = self.threads {
            add("--threads", threads.to_string());
        }
        if let Some(runtime) = &self.runtime {
            add("--ort-lib", text(runtime));
        }
        words
    }
}

impl Address {
    /// The machine or program, for messages.
    pub fn host(&self) -> &str {
        match &self.route {
            Route::Ssh { host, .. } => host,
            Route::Exec(words) => words.first().map_or(&self.text, String::as_str),
        }
    }

    /// Whether the machine is reached by ssh.
    pub const fn is_ssh(&self) -> bool {
        matches!(self.route, Route::Ssh { .. })
    }

    /// The words of the command that starts the server; `ssh` is the program that connects.
    pub fn command(&self, ssh: &str, flags: &ServeFlags) -> Vec<String> {
        let words = flags.words();
        match &self.route {
            Route::Exec(own) => own.iter().cloned().chain(words).collect(),
            Route::Ssh { user, host, port, program } => {
                let mut command = [ssh, "-T"].map(str::to_owned).to_vec();
                command.extend(
                    SSH_OPTIONS.into_iter().flat_map(|option| ["-o".into(), option.into()]),
                );
                if let Some(port) = port {
                    command.extend(["-p".to_owned(), port.to_string()]);
                }
                let at =
                    user.as_ref().map_or_else(|| host.clone(), |user| format!("{user}@{host}"));
                // The words after the host go to a shell there.
                let remote = std::iter::once(program).chain(&words).map(|word| quoted(word));
                command.extend(["--".to_owned(), at, remote.collect::<Vec<_>>().join(" ")]);
                command
            }
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let route = match (text.strip_prefix("ssh://"), text.strip_prefix("exec:")) {
            (Some(rest), _) => ssh(rest)?,
            (_, Some(rest)) => Route::Exec(words(rest)?),
            _ => {
                return Err(format!(
                    "`{text}` is neither ssh://[USER@]HOST[:PORT][/PATH] nor exec:PROGRAM"
                ));
            }
        };
        Ok(Self { text: text.to_owned(), route })
    }
}

fn ssh(rest: &str) -> Result<Route, String> {
    let (place, path) = rest.split_once('/').map_or((rest, ""), |(place, path)| (place, path));
    let (user, host) = match place.rsplit_once('@') {
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, place),
    };
    // An IPv6 address stands in brackets.
    let (host, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or(port.is_empty().then_some(""))),
        None => host.split_once(':').map_or((host, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some("") => None,
        port => match port.and_then(|port| port.parse::<u16>().ok()).filter(|&port| port > 0) {
            Some(port) => Some(port),
            None => return Err("the port is not a number from 1 to 65535".into()),
        },
    };
    for (what, name) in [("host", Some(host)), ("user", user.as_deref())] {
        let Some(name) = name else { continue };
        // ssh would read it as an option.
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        if name.is_empty() || name.starts_with('-') || !name.chars().all(is_plain) {
            return Err(format!("`{name}` is not the name of a {what}"));
        }
    }
    let program = if path.is_empty() { PROGRAM.to_owned() } else { format!("/{path}") };
    Ok(Route::Ssh { user, host: host.to_owned(), port, program })
}

/// Words as a shell splits them: at white space, except in quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quotation mark is not closed".into());
    }
    words.extend(word);
    if words.is_empty() { Err("exec: names no program".into()) } else { Ok(words) }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    fn command(address: &str, flags: &ServeFlags) -> Vec<String> {
        address.parse::<Address>().unwrap().command("ssh", flags)
    }

    /// The words after those that every connection has.
    fn after_options(address: &str, flags: &ServeFlags) -> Vec<String> {
        let words = command(address, flags);
        let options = SSH_OPTIONS.iter().flat_map(|option| ["-o", option]);
        let expected: Vec<&str> = ["ssh", "-T"].into_iter().chain(options).collect();
        assert_eq!(words[..expected.len()], expected);
        words[expected.len()..].to_vec()
    }

    #[test]
    fn an_address_becomes_the_command_that_serves() {
        let plain = ServeFlags::default();
        assert_eq!(after_options("ssh://box", &plain), ["--", "box", "vlmscope serve --stdio"]);
        let flags = ServeFlags {
            model: Some("/my models/it's $HOME".into()),
            device: Device::Cuda,
            threads: Some(3),
            runtime: None,
        };
        assert_eq!(
            after_options("ssh://ada@10.0.0.7:2222/opt/bin/vlmscope", &flags),
            [
                "-p",
                "2222",
                "--",
                "ada@10.0.0.7",
                r"/opt/bin/vlmscope serve --stdio --model '/my models/it'\''s $HOME' --device cuda --threads 3"
            ]
        );
        assert_eq!(after_options("ssh://[::1]:22", &plain)[3], "::1");
        assert_eq!(
            command("exec:docker exec -i 'my box' vlmscope", &plain),
            ["docker", "exec", "-i", "my box", "vlmscope", "serve", "--stdio"]
        );
    }

    #[test]
    fn names_that_would_be_options_are_refused() {
        for wrong in [
            "ssh://-oProxyCommand=x",
            "ssh://-l@host",
            "ssh://a@-oX",
            "ssh://",
            "ssh://a b",
            "ssh://host:0",
            "ssh://host:x",
            "ssh://[::1]x",
            "http://host",
            "exec:",
            "exec:'a",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
