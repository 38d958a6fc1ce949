//! What a system needs so that it runs `windrow watch` by itself.
//!
//! Each system reads its file by rules of its own, and a path may hold whatever a file system
//! takes. What cannot be written so that the system takes it for what it is, is refused.

use std::path::Path;

use crate::model::Error;

/// The paths that a unit is made of, as text in one line each.
pub struct UnitPaths<'a> {
    program: &'a str,
    definition: &'a str,
    folder: &'a str,
}

impl<'a> UnitPaths<'a> {
    /// Of a unit that runs a watch by this definition.
    ///
    /// # Errors
    ///
    /// Where no system can be given one of the paths.
    pub fn new(program: &'a Path, definition: &'a Path) -> Result<Self, Error> {
        let folder = definition.parent().unwrap_or(Path::new("/"));
        Ok(Self {
            program: one_line("this program", program)?,
            definition: one_line("the definition", definition)?,
            folder: one_line("the definition's folder", folder)?,
        })
    }
}

/// A path as text without controls: none of the three files can hold one, and the end of a line
/// would begin a directive.
fn one_line<'p>(what: &str, path: &'p Path) -> Result<&'p str, Error> {
    let Some(text) = path.to_str() else {
        return Err(refused(what, path, "is no text (UTF-8)"));
    };
    let is_odd = |letter: char| {
        // Ends of lines to some, and letters that XML has not.
        letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
    };
    match text.chars().find(|letter| is_odd(*letter)) {
        None => Ok(text),
        Some(letter) => {
            let why = format!("holds the control character U+{:04X}", u32::from(letter));
            Err(refused(what, path, &why))
        }
    }
}

fn refused(what: &str, path: &Path, why: &str) -> Error {
    let message = format!("no unit can name {what}: {} {why}", path.display());
    Error::usage(message).help("give the file or its folder another name, or move it")
}

/// A user unit of systemd, to be put where its first lines say.
///
/// # Errors
///
/// Where systemd cannot be given the program's path.
pub fn systemd_unit(paths: &UnitPaths<'_>) -> Result<String, Error> {
    let program = systemd_program(paths.program)?;
    let (definition, folder) = (systemd_word(paths.definition), systemd_folder(paths.folder));
    // Specifiers are the only thing that is read in a description; it never ends in a backslash.
    let description = paths.definition.replace('%', "%%");
    Ok(format!(
        "# ~/.config/systemd/user/windrow.service, then:
#   systemctl --user daemon-reload && systemctl --user enable --now windrow
# Secrets: one NAME=value a line in ~/.config/windrow/environment, readable by you alone.
[Unit]
Description=windrow keeps {description} up to date
StartLimitIntervalSec=0

[Service]
ExecStart={program} --definition {definition} watch
WorkingDirectory={folder}
EnvironmentFile=-%h/.config/windrow/environment
Restart=on-failure
RestartSec=30
SuccessExitStatus=130 143
TimeoutStopSec=10
UMask=0077
NoNewPrivileges=true
Nice=10

[Install]
WantedBy=default.target
"
    ))
}

/// The program of `ExecStart`: quotes, backslashes and `%` as in every word. Variables are not
/// put in here, so that `$` stands for itself. systemd takes no program with a quote or a
/// backslash in its path, and reads the letters before a path that is not absolute as settings.
fn systemd_program(path: &str) -> Result<String, Error> {
    if path.contains(['"', '\'', '\\']) {
        let why = "holds a quote or a backslash, which systemd runs no program with";
        return Err(refused("this program", Path::new(path), why));
    }
    if !path.starts_with('/') {
        return Err(refused("this program", Path::new(path), "is not absolute"));
    }
    Ok(format!("\"{}\"", path.replace('%', "%%")))
}

/// A word of `ExecStart` (systemd.service(5), "Command lines"): in quotes, so that spaces and a
/// lone `;` are no separators; `\` and `"` escaped, `%` for no specifier, `$` for no variable.
fn systemd_word(text: &str) -> String {
    let mut word = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\\' => word.push_str("\\\\"),
            '"' => word.push_str("\\\""),
            '%' => word.push_str("%%"),
            '$' => word.push_str("$$"),
            letter => word.push(letter),
        }
    }
    word + "\""
}

/// `WorkingDirectory`, which is taken as it is: there are no quotes and no escapes, only
/// specifiers. A space at the end is cut off and a backslash there takes the next line in, unless
/// a slash follows, which changes no path.
fn systemd_folder(path: &str) -> String {
    let folder = path.replace('%', "%%");
    if folder.ends_with(|letter: char| letter.is_whitespace() || letter == '\\') {
        return folder + "/";
    }
    folder
}

/// A launch agent of macOS. It can be given each path.
pub fn launchd_unit(paths: &UnitPaths<'_>) -> Result<String, Error> {
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!-- ~/Library/LaunchAgents/org.windrow.watch.plist, then:
     launchctl bootstrap gui/$(id -u) ~/Library/LaunchAgents/org.windrow.watch.plist -->
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
             \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<plist version=\"1.0\">
<dict>
  <key>Label</key><string>org.windrow.watch</string>
  <key>ProgramArguments</key>
  <array>
    <string>{}</string><string>--definition</string><string>{}</string><string>watch</string>
  </array>
  <key>WorkingDirectory</key><string>{}</string>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>
  <key>ThrottleInterval</key><integer>30</integer>
  <key>ProcessType</key><string>Background</string>
  <key>Umask</key><integer>63</integer>
</dict>
</plist>
",
        in_xml(paths.program),
        in_xml(paths.definition),
        in_xml(paths.folder)
    ))
}

/// A task of the Task Scheduler.
///
/// # Errors
///
/// Where the Task Scheduler would see a variable in a path.
pub fn task_unit(paths: &UnitPaths<'_>) -> Result<String, Error> {
    let program = task_path("this program", paths.program)?;
    let folder = task_path("the definition's folder", paths.folder)?;
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!-- schtasks /Create /TN windrow /XML windrow.xml -->
<Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">
  <Triggers><LogonTrigger><Enabled>true</Enabled></LogonTrigger></Triggers>
  <Settings>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure><Interval>PT1M</Interval><Count>999</Count></RestartOnFailure>
  </Settings>
  <Actions>
    <Exec>
      <Command>{}</Command>
      <Arguments>--definition {} watch</Arguments>
      <WorkingDirectory>{}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
",
        in_xml(program),
        in_xml(&task_word(paths.definition)),
        in_xml(folder)
    ))
}

/// A path that the Task Scheduler takes whole. It puts variables in the place of `%NAME%` and
/// `$(NAME)`, and knows no escape for either.
fn task_path<'p>(what: &str, path: &'p str) -> Result<&'p str, Error> {
    let why = if path.matches('%').count() > 1 {
        "holds two `%`, between which the Task Scheduler sees a variable"
    } else if path.contains("$(") {
        "holds `$(`, which begins a variable of the Task Scheduler"
    } else {
        return Ok(path);
    };
    Err(refused(what, Path::new(path), why))
}

/// A word of a command line of Windows, as programs take it apart (CommandLineToArgvW): in quotes,
/// with backslashes doubled before a quote. `%` and `$` stand between two quoted pieces, where they
/// are the same word and no variable's name can follow.
fn task_word(text: &str) -> String {
    let mut word = String::from("\"");
    let mut backslashes = 0;
    for letter in text.chars() {
        match letter {
            '"' => word.push_str(&"\\".repeat(backslashes + 1)),
            '%' | '$' => {
                word.push_str(&"\\".repeat(backslashes));
                word.push('"');
            }
            _ => {}
        }
        word.push(letter);
        if matches!(letter, '%' | '$') {
            word.push('"');
        }
        backslashes = if letter == '\\' { backslashes + 1 } else { 0 };
    }
    word + &"\\".repeat(backslashes) + "\""
}

/// Text of an element of XML, where quotes are letters as others.
fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorKind;

    type MakeUnit = fn(&UnitPaths<'_>) -> Result<String, Error>;

    const KINDS: [MakeUnit; 3] = [systemd_unit, launchd_unit, task_unit];

    fn text(make: MakeUnit, program: &str, definition: &str) -> Result<String, Error> {
        make(&UnitPaths::new(Path::new(program), Path::new(definition))?)
    }

    fn line<'t>(text: &'t str, begin: &str) -> &'t str {
        let found = text.lines().find_map(|line| line.trim().strip_prefix(begin));
        found.unwrap_or_else(|| panic!("no {begin} in {text}"))
    }

    #[test]
    fn a_path_with_a_mark_of_xml_stays_a_path() {
        for kind in &KINDS[1..] {
            let text = text(*kind, "/bin/w", "/a & b/<c>.toml").expect("a path");
            assert!(text.contains("/a &amp; b/&lt;c&gt;.toml"), "{text}");
            assert!(!text.contains("& b"), "{text}");
        }
        let text = text(systemd_unit, "/bin/w", "/a b/c.toml").expect("a path");
        assert!(text.contains("ExecStart=\"/bin/w\" --definition \"/a b/c.toml\" watch"));
    }

    /// A folder, and how systemd is given it in a word, in `WorkingDirectory` and in a description.
    const SYSTEMD: [(&str, &str, &str, &str); 12] = [
        ("/a b", "/a b", "/a b", "/a b"),
        ("/a\"b", "/a\\\"b", "/a\"b", "/a\"b"),
        ("/a'b", "/a'b", "/a'b", "/a'b"),
        ("/a\\b", "/a\\\\b", "/a\\b", "/a\\b"),
        ("/a\\nb", "/a\\\\nb", "/a\\nb", "/a\\nb"),
        ("/100%h", "/100%%h", "/100%%h", "/100%%h"),
        ("/$HOME", "/$$HOME", "/$HOME", "/$HOME"),
        ("/${HOME}", "/$${HOME}", "/${HOME}", "/${HOME}"),
        ("/a ; b", "/a ; b", "/a ; b", "/a ; b"),
        ("/-@!+:", "/-@!+:", "/-@!+:", "/-@!+:"),
        ("/end\\", "/end\\\\", "/end\\/", "/end\\"),
        ("/end ", "/end ", "/end /", "/end "),
    ];

    #[test]
    fn systemd_is_given_each_path_by_the_rules_of_its_place() {
        for (folder, word, directory, description) in SYSTEMD {
            let text = text(systemd_unit, "/b i%n/$w", &format!("{folder}/w.toml"));
            let text = text.expect("a path");
            let start = format!("\"/b i%%n/$w\" --definition \"{word}/w.toml\" watch");
            assert_eq!(line(&text, "ExecStart="), start);
            assert_eq!(line(&text, "WorkingDirectory="), directory);
            let description = format!("windrow keeps {description}/w.toml up to date");
            assert_eq!(line(&text, "Description="), description);
        }
    }

    /// A definition, and how the Task Scheduler is given it as an argument.
    const TASK: [(&str, &str); 10] = [
        ("C:\\a b\\w.toml", "\"C:\\a b\\w.toml\""),
        ("/a\"b", "\"/a\\\"b\""),
        ("/a\\\"b", "\"/a\\\\\\\"b\""),
        ("/a\\", "\"/a\\\\\""),
        ("/50%", "\"/50\"%\"\""),
        ("/%PATH%x", "\"/\"%\"PATH\"%\"x\""),
        ("/a\\%b", "\"/a\\\\\"%\"b\""),
        ("/$(Arg0)", "\"/\"$\"(Arg0)\""),
        ("/a'b;c & d", "\"/a'b;c & d\""),
        ("/-@!+:", "\"/-@!+:\""),
    ];

    #[test]
    fn windows_is_given_each_word_in_one_piece() {
        for (path, word) in TASK {
            assert_eq!(task_word(path), word, "{path}");
        }
        let unit = text(task_unit, "/bin/w", "/a&b/<\"x\">.toml").expect("a path");
        let arguments = "<Arguments>--definition \"/a&amp;b/&lt;\\\"x\\\"&gt;.toml\" watch";
        assert_eq!(line(&unit, arguments), "</Arguments>");
        assert_eq!(line(&unit, "<WorkingDirectory>"), "/a&amp;b</WorkingDirectory>");
        for folder in ["/%PATH%", "/a%b%c", "/$(Arg0)"] {
            let refused = text(task_unit, "/bin/w", &format!("{folder}/w.toml"));
            assert_eq!(refused.expect_err(folder).kind, ErrorKind::Usage);
            let refused = text(task_unit, &format!("{folder}/w"), "/a/w.toml");
            assert_eq!(refused.expect_err(folder).kind, ErrorKind::Usage);
        }
    }

    #[test]
    fn what_no_system_can_be_given_is_refused() {
        for odd in ["\n", "\r", "\t", "\0", "\u{1b}", "\u{7f}", "\u{85}", "\u{2028}", "\u{ffff}"] {
            for kind in KINDS {
                let path = format!("/a{odd}ExecStartPre=/bin/x/w.toml");
                for (program, definition) in [("/bin/w", path.as_str()), (&path, "/a/w.toml")] {
                    let refused = text(kind, program, definition).expect_err("a control");
                    assert_eq!(refused.kind, ErrorKind::Usage, "{odd:?}");
                    assert!(refused.message.contains("control character"), "{}", refused.message);
                }
            }
        }
        for program in ["/a\"b/w", "/a'b/w", "/a\\b/w", "-a/w", "@/bin/w"] {
            let refused = text(systemd_unit, program, "/a/w.toml").expect_err(program);
            assert_eq!(refused.kind, ErrorKind::Usage, "{program}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_is_refused() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"/a\xff/w.toml"));
        for kind in KINDS {
            let refused = UnitPaths::new(Path::new("/bin/w"), path)
                .and_then(|paths| kind(&paths))
                .expect_err("no text");
            assert!(refused.message.contains("no text"), "{}", refused.message);
        }
    }
}
