package grub

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"text/template"
)

// Settings are what a person chooses for a disc without building one: the file settings.txt at its
// root. Empty fields leave things as the disc was built.
type Settings struct {
	Cmdline    string // added to dom0's kernel command line
	XenCmdline string // added to Xen's
	Timeout    string // seconds until the default entry starts; "-1" waits for a person
	Default    string // the entry that starts: its id, as "rescue"
}

// settingsRoom is how many bytes of a command line settings may add; the rest of maxCmdline is the
// disc's own.
const settingsRoom = 400

// settingNames lists the settings in the order of the template.
var settingNames = []struct {
	name, help, example string
	field               func(*Settings) *string
	check               func(value string) error
}{
	{"cmdline", "added to the command line of dom0's kernel (docs/kernel-parameters.md)", "zerodisc.hostname=rack7",
		func(s *Settings) *string { return &s.Cmdline }, checkAddition},
	{"xen-cmdline", "added to Xen's command line", "dom0_mem=1G",
		func(s *Settings) *string { return &s.XenCmdline }, checkAddition},
	{"timeout", "seconds until the menu starts its default entry; -1 waits for a person", "10",
		func(s *Settings) *string { return &s.Timeout }, checkTimeout},
	{"default", "the entry of the menu that starts by itself: " + startableNames(), "no-autostart",
		func(s *Settings) *string { return &s.Default }, checkDefault},
}

// MaxSettings is the size in bytes of the longest settings file.
const MaxSettings = 64 << 10

// ReadSettings reads the settings file name, and returns its text too.
func ReadSettings(name string) (text []byte, s Settings, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, s, fmt.Errorf("settings: %w", err)
	}
	defer f.Close()
	if text, err = io.ReadAll(io.LimitReader(f, MaxSettings+1)); err != nil {
		return nil, s, fmt.Errorf("settings: %w", err)
	}
	if len(text) > MaxSettings {
		return nil, s, fmt.Errorf("settings: %s has more than %d bytes; is it a file of settings?", name, MaxSettings)
	}
	s, err = ParseSettings(name, bytes.NewReader(text))
	return text, s, err
}

// Byte order marks, which some editors on Windows put before a text: that of UTF-8 means nothing.
const (
	utf8Mark     = "\uFEFF"
	utf16Little  = "\xFF\xFE"
	utf16Big     = "\xFE\xFF"
	settingSpace = " \t\r" // around and between words; to GRUB a space of Unicode's is a letter
)

// ParseSettings reads a settings file: lines "NAME = VALUE", empty lines, and comments from a "#"
// at the start of a line on. Errors name file and line.
func ParseSettings(file string, r io.Reader) (Settings, error) {
	var s Settings
	given := map[string]int{}
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, utf8Mark)
		}
		if strings.HasPrefix(line, utf16Little) || strings.HasPrefix(line, utf16Big) {
			return Settings{}, fmt.Errorf("%s:%d: the file is in UTF-16; save it as UTF-8", file, number)
		}
		line = strings.Trim(line, settingSpace)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := s.parseLine(line, number, given); err != nil {
			return Settings{}, fmt.Errorf("%s:%d: %w", file, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return Settings{}, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// parseLine takes one setting; given has the lines of those before.
func (s *Settings) parseLine(line string, number int, given map[string]int) error {
	name, value, ok := strings.Cut(line, "=")
	name, value = strings.Trim(name, settingSpace), strings.Trim(value, settingSpace)
	if !ok {
		return fmt.Errorf("%q: want NAME = VALUE", line)
	}
	for _, setting := range settingNames {
		if setting.name != name {
			continue
		}
		if first := given[name]; first != 0 {
			return fmt.Errorf("%s is given in line %d already; keep one", name, first)
		}
		given[name] = number
		if err := setting.check(value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*setting.field(s) = value
		return nil
	}
	return fmt.Errorf("there is no setting %q; there are %s", name, strings.Join(namesOfSettings(), ", "))
}

func namesOfSettings() []string {
	var names []string
	for _, setting := range settingNames {
		names = append(names, setting.name)
	}
	return names
}

// addition is what may stand in a variable of GRUB's that is expanded without quotes: words that
// GRUB neither cuts nor changes. It does not look at a "$" again that comes out of a variable: hashes have it.
var addition = regexp.MustCompile(`^[0-9A-Za-z_.,:/=+@%~^!$(){}<>|;&#-]*$`)

func checkAddition(value string) error {
	isSpace := func(r rune) bool { return strings.ContainsRune(settingSpace, r) }
	for word := range strings.FieldsFuncSeq(value, isSpace) {
		if !addition.MatchString(word) {
			return fmt.Errorf(
				`the menu cannot hand on %q; leave out quotes, \, *, ?, [, ] and what is not ASCII`, word)
		}
	}
	if len(value) > settingsRoom {
		return fmt.Errorf("has %d bytes, room is for %d", len(value), settingsRoom)
	}
	return nil
}

// checkTimeout wants a number as Go writes it: GRUB reads 010 as octal and knows no +5.
func checkTimeout(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || n < -1 || n > 3600 {
		return fmt.Errorf("%q: want seconds, 0 to 3600, or -1", value)
	}
	if plain := strconv.Itoa(n); plain != value {
		return fmt.Errorf("%q: GRUB reads that as another number; write %s", value, plain)
	}
	return nil
}

func checkDefault(value string) error {
	if startable[value] == "" {
		return fmt.Errorf("%q is no entry that can start by itself; there are %s", value, startableNames())
	}
	return nil
}

// settingsScript is settings.cfg. The menu's own values are set before it is read.
var settingsScript = template.Must(template.New("settings.cfg").Funcs(template.FuncMap{
	"quote": quote, "place": func(id string) string { return startable[id] },
}).Parse(
	`# Made by mkiso from /settings.txt. Who boots from a copy of the files may change it here.
set medium_id={{.ID}}
{{with .Settings}}
{{- with .Cmdline}}set dom0_settings={{quote .}}
{{end}}{{with .XenCmdline}}set xen_settings={{quote .}}
{{end}}{{with .Timeout}}set timeout={{.}}
{{end}}{{with .Default}}set default={{place . | quote}}
{{end}}{{end}}`))

// Config is boot/grub/settings.cfg, which the menu reads: the settings, and the medium id by which dom0
// finds this medium.
func (s Settings) Config(mediumID string) ([]byte, error) {
	if err := checkBuildID(mediumID); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err := settingsScript.Execute(&b, map[string]any{"ID": mediumID, "Settings": s})
	return b.Bytes(), err
}

// SettingsTemplate is the settings.txt of a disc that was built without any: every setting, in comments.
func SettingsTemplate() []byte {
	var b bytes.Buffer
	b.WriteString("# Settings of this disc. mkiso add IN.iso -config FILE -o OUT.iso makes a disc with others.\n" +
		"# A line is NAME = VALUE.\n")
	for _, setting := range settingNames {
		fmt.Fprintf(&b, "\n# %s\n#%s = %s\n", setting.help, setting.name, setting.example)
	}
	return b.Bytes()
}
