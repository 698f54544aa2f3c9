//! Settings written as options: `--optimizer.lr=1e-4` is `--set optimizer.lr=1e-4`.
//!
//! Launchers that only know options, as W&B's agent does, can start `train` and `ood` so.

use std::ffi::OsString;

/// Commands that take `--set`.
const COMMANDS: [&str; 2] = ["train", "ood"];

/// The arguments with settings that are written as options as what they stand for. An option whose name has a dot is a setting; one without is only
/// where a W&B sweep started this process, so that elsewhere a misspelt option is said to be one.
pub fn adopted(
    arguments: impl IntoIterator<Item = OsString>,
    in_sweep: bool,
    program: &clap::Command,
) -> Vec<OsString> {
    let mut arguments = arguments.into_iter();
    let mut adopted: Vec<OsString> = arguments.by_ref().take(1).collect();
    let rest: Vec<OsString> = arguments.collect();
    let named = |argument: &OsString| COMMANDS.iter().find(|command| argument == **command);
    let Some(command) = rest.iter().find_map(named) else {
        adopted.extend(rest);
        return adopted;
    };
    let own = program.find_subcommand(command).into_iter().chain([program]);
    let options: Vec<&str> =
        own.flat_map(clap::Command::get_arguments).filter_map(clap::Arg::get_long).collect();
    let mut rest = rest.into_iter().peekable();
    while let Some(argument) = rest.next() {
        let is_setting = |key: &str| key.contains('.') || (in_sweep && !options.contains(&key));
        let named = argument.to_str().and_then(|text| text.strip_prefix("--"));
        let setting = named.and_then(|text| match text.split_once('=') {
            Some((key, value)) => is_setting(key).then(|| (key.to_owned(), value.to_owned())),
            // The value stands by itself.
            None if is_setting(text) => {
                let value =
                    rest.peek()?.to_str().filter(|next| !next.starts_with("--"))?.to_owned();
                rest.next();
                Some((text.to_owned(), value))
            }
            None => None,
        });
        match setting {
            Some((key, value)) => {
                let value = if in_sweep { yaml(&value) } else { &value };
                adopted.extend(["--set".into(), format!("{key}={value}").into()]);
            }
            None => adopted.push(argument),
        }
    }
    adopted
}

/// A value as W&B's agent, a Python program, writes it: nothing is `None`, and its quantised distributions give whole numbers as `3.0`.
fn yaml(value: &str) -> &str {
    let whole = value.strip_suffix(".0").filter(|digits| digits.parse::<i64>().is_ok());
    if value == "None" { "null" } else { whole.unwrap_or(value) }
}

#[cfg(test)]
mod tests {
    use super::adopted;

    fn adopt(arguments: &[&str], in_sweep: bool) -> Vec<String> {
        let all = ["atypical"].iter().chain(arguments).map(|a| (*a).into());
        let long = |name: &'static str| clap::Arg::new(name).long(name);
        let program = clap::Command::new("atypical")
            .subcommand(clap::Command::new("train").args([long("config"), long("run")]))
            .subcommand(clap::Command::new("ood").arg(long("name")));
        let adopted = adopted(all, in_sweep, &program);
        adopted.into_iter().skip(1).map(|a| a.into_string().unwrap()).collect()
    }

    #[test]
    fn settings_may_be_options() {
        let expected = ["train", "--config=a.yaml", "--set", "optimizer.lr=1e-4", "-q"];
        assert_eq!(
            adopt(&["train", "--config=a.yaml", "--optimizer.lr=1e-4", "-q"], false),
            expected
        );
        assert_eq!(
            adopt(&["train", "--optimizer.lr", "-1e-4", "--run", "x"], false),
            ["train", "--set", "optimizer.lr=-1e-4", "--run", "x"]
        );
        // As W&B's agent has it.
        let python = ["train", "--epochs=3.0", "--clip_grad_norm=None", "--run=1.0"];
        assert_eq!(
            adopt(&python, true),
            ["train", "--set", "epochs=3", "--set", "clip_grad_norm=null", "--run=1.0"]
        );
        // A misspelt option stays one, but where W&B wrote it.
        assert_eq!(adopt(&["train", "--epochs=3"], false), ["train", "--epochs=3"]);
        assert_eq!(
            adopt(&["train", "--epochs=3", "--run=x"], true),
            ["train", "--set", "epochs=3", "--run=x"]
        );
        // What is an option of one command may be a setting of another.
        assert_eq!(adopt(&["ood", "--run=x"], true), ["ood", "--set", "run=x"]);
        // Other commands have no settings.
        assert_eq!(adopt(&["score", "--a.b=1"], true), ["score", "--a.b=1"]);
    }
}
