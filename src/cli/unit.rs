//! What a system needs so that it runs `windrow watch` by itself.

use std::path::Path;

use super::args::UnitKind;

/// The unit, to be put where its first lines say.
pub fn unit_text(kind: UnitKind, program: &Path, definition: &Path) -> String {
    let folder = definition.parent().unwrap_or(Path::new("/")).display().to_string();
    let (program, definition) = (program.display().to_string(), definition.display().to_string());
    match kind {
        UnitKind::Systemd => systemd(&program, &definition, &folder),
        UnitKind::Launchd => launchd(&program, &definition, &folder),
        UnitKind::TaskScheduler => task(&program, &definition, &folder),
    }
}

/// A user unit of systemd.
fn systemd(program: &str, definition: &str, folder: &str) -> String {
    format!(
        "# ~/.config/systemd/user/windrow.service, then:
#   systemctl --user daemon-reload && systemctl --user enable --now windrow
# Secrets: one NAME=value a line in ~/.config/windrow/environment, readable by you alone.
[Unit]
Description=windrow keeps {definition} up to date
StartLimitIntervalSec=0

[Service]
ExecStart=\"{program}\" --definition \"{definition}\" watch
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
    )
}

/// A launch agent of macOS.
fn launchd(program: &str, definition: &str, folder: &str) -> String {
    format!(
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
        in_xml(program),
        in_xml(definition),
        in_xml(folder)
    )
}

/// A task of the Task Scheduler.
fn task(program: &str, definition: &str, folder: &str) -> String {
    format!(
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
      <Arguments>--definition \"{}\" watch</Arguments>
      <WorkingDirectory>{}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
",
        in_xml(program),
        in_xml(definition),
        in_xml(folder)
    )
}

/// A path as text of an XML element.
fn in_xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_a_mark_of_xml_stays_a_path() {
        let kinds = [UnitKind::Launchd, UnitKind::TaskScheduler];
        for kind in kinds {
            let text = unit_text(kind, Path::new("/bin/w"), Path::new("/a & b/<c>.toml"));
            assert!(text.contains("/a &amp; b/&lt;c&gt;.toml"), "{text}");
            assert!(!text.contains("& b"), "{text}");
        }
        let text = unit_text(UnitKind::Systemd, Path::new("/bin/w"), Path::new("/a b/c.toml"));
        assert!(text.contains("ExecStart=\"/bin/w\" --definition \"/a b/c.toml\" watch"));
    }
}
