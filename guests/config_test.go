package guests

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// text, number and list build expected values without positions.
func text(s string) Value        { return Value{Kind: String, Text: s} }
func number(s string) Value      { return Value{Kind: Number, Text: s} }
func list(values ...Value) Value { return Value{Kind: List, List: values} }

// plain removes positions, so that values read from different layouts compare equal.
func plain(v Value) Value {
	v.Pos = Pos{}
	var elements []Value
	for _, element := range v.List {
		elements = append(elements, plain(element))
	}
	v.List = elements
	return v
}

func plainSettings(c *Config) []Setting {
	var settings []Setting
	for _, s := range c.Settings {
		settings = append(settings, Setting{s.Name, plain(s.Value)})
	}
	return settings
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, source string
		want         []Setting
	}{
		{"empty", "", nil},
		{"only comments", "# one\n\n  # two", nil},
		{"newlines", "a = 1\nb = 'x'\n", []Setting{{"a", number("1")}, {"b", text("x")}}},
		{"semicolons", "a=1;b=\"x\";;", []Setting{{"a", number("1")}, {"b", text("x")}}},
		{"names", "on_crash='x'\nx.y2=1", []Setting{{"on_crash", text("x")}, {"x.y2", number("1")}}},
		{"numbers", "a=0x1f\nb=0755\nc=12",
			[]Setting{{"a", number("0x1f")}, {"b", number("0755")}, {"c", number("12")}}},
		{"comment after a value", "a=1 # one\nb='#2'#", []Setting{{"a", number("1")}, {"b", text("#2")}}},
		{"quotes in quotes", `a="it's"; b='say "x"'`, []Setting{{"a", text("it's")}, {"b", text(`say "x"`)}}},
		{"escapes", `a='\a\b\f\n\r\t\v\\\'\"'`, []Setting{{"a", text("\a\b\f\n\r\t\v\\'\"")}}},
		{"bytes beyond ASCII", "a='gr\u00fcn \xff'", []Setting{{"a", text("gr\u00fcn \xff")}}},
		{"list", "a=['x',2]", []Setting{{"a", list(text("x"), number("2"))}}},
		{"empty list", "a=[]; b=[\n\n]", []Setting{{"a", list()}, {"b", list()}}},
		{"list over lines", "a = [ # first\n'x'\n,\n\n'y', # second\n]\n",
			[]Setting{{"a", list(text("x"), text("y"))}}},
		{"list in list", "a=[['x','y'],[1,],]", []Setting{{"a", list(list(text("x"), text("y")), list(number("1")))}}},
		{"last assignment wins", "a=1\nb=2\na=['x']", []Setting{{"a", list(text("x"))}, {"b", number("2")}}},
		{"append to a string", "a='x'\na+='y'\na+=5", []Setting{{"a", text("xy5")}}},
		{"append to a list", "a=['x']\na+=['y','z']", []Setting{{"a", list(text("x"), text("y"), text("z"))}}},
		{"append to nothing", "a+=['y']", []Setting{{"a", list(text("y"))}}},
		{"Windows", "\ufeffa=1\r\nb=[\r\n'x'\r\n]\r\n", []Setting{{"a", number("1")}, {"b", list(text("x"))}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			config, err := Parse("g.cfg", strings.NewReader(test.source))
			if err != nil {
				t.Fatal(err)
			}
			if got := plainSettings(config); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	const unknownEscape = `a backslash with nothing known after it; write \\ for a backslash; ` +
		`\n, \t, \', \" and the like are known, \x.. and octal are not`
	for _, test := range []struct{ source, want string }{
		{"a=1\nb = tty1\n", `g.cfg:2:5: expected a value, found "tty1"; put it in quotes: 'tty1'`},
		{"a = ",
			"g.cfg:1:5: expected a value, found the end of the file; give a string in quotes, a number or a [ list ]"},
		{"a =\n1",
			"g.cfg:1:4: expected a value, found the end of the line; give a string in quotes, a number or a [ list ]"},
		{"a 1", `g.cfg:1:3: expected = or += after a, found "1"; write a = VALUE`},
		{"'a'=1", `g.cfg:1:1: expected the name of a setting, found the string "a"; write NAME = VALUE`},
		{"a=1 b=2",
			`g.cfg:1:5: expected the end of the line, found "b"; ` +
				`start a new line or put a semicolon between two settings`},
		{"\n  a='x\nb=1", "g.cfg:2:5: the string has no end; end it with ' on the same line"},
		{"a='x\\", "g.cfg:1:5: " + unknownEscape},
		{`a='C:\x41'`, "g.cfg:1:6: " + unknownEscape},
		{"a=[ 'x'\nb=1", "g.cfg:1:3: the list has no end; close it with ]"},
		{"a=[ 'x',", "g.cfg:1:3: the list has no end; close it with ]"},
		{"a=[ 'x',\nb=1",
			`g.cfg:2:1: expected a value, found "b"; put it in quotes: 'b', or close the list before it with ]`},
		{"a=[ 'x' 'y' ]",
			`g.cfg:1:9: expected , or ] in the list, found the string "y"; put a comma between two values`},
		{"a=[ , ]", `g.cfg:1:5: expected a value, found ","; give a string in quotes, a number or a [ list ]`},
		{"a=[[[[[[[[[1]]]]]]]]]", "g.cfg:1:11: lists are nested too deeply; remove brackets"},
		{"a='x'\na+=['y']",
			"g.cfg:2:4: a += cannot join a list and a single value; " +
				"append a [ list ] to a list and a string to a string"},
		{"a=1\na+=2", "g.cfg:2:4: a += cannot add numbers; write a = NUMBER"},
		{"Memory=5",
			`g.cfg:1:1: unexpected character "M"; ` +
				`names start with a small letter and hold no capitals; put values in quotes`},
		{"a=-1",
			`g.cfg:1:3: unexpected character "-"; put the value in quotes; Python code is not read, only NAME = VALUE`},
		{"a=\u201cx\u201d", `g.cfg:1:3: unexpected character "“"; write plain quotes, ' or "`},
		{"a\x00=1", `g.cfg:1:2: unexpected character "\x00"; save the file as plain text (UTF-8, not UTF-16)`},
		{"\xff\xfea\x00", `g.cfg:1:1: unexpected character "\xff"; save the file as plain text (UTF-8, not UTF-16)`},
		{"a='\x00'", `g.cfg:1:4: unexpected character "\x00"; save the file as plain text (UTF-8, not UTF-16)`},
		{strings.Repeat("#", maxConfigBytes+1),
			"g.cfg: the file is longer than 64 KiB; check that it is a guest configuration"},
	} {
		_, err := Parse("g.cfg", strings.NewReader(test.source))
		if err == nil || err.Error() != test.want {
			t.Errorf("Parse(%.40q)\ngot  %v\nwant %s", test.source, err, test.want)
		}
	}
}

func TestInt(t *testing.T) {
	for _, test := range []struct {
		source string
		want   int64
		fails  bool
	}{
		{"n=512", 512, false},
		{"n='512'", 512, false},
		{"n=0x20", 32, false},
		{"n='0X2F'", 47, false},
		{"n=010", 8, false},
		{"n=0", 0, false},
		{"n=' +7'", 7, false},
		{"n='-7'", -7, false},
		{"m=1", 99, false},
		{"n=''", 0, true},
		{"n=0x", 0, true},
		{"n=08", 0, true},
		{"n=12ab", 0, true},
		{"n='--7'", 0, true},
		{"n='1_000'", 0, true},
		{"n='7 '", 0, true},
		{"n=9999999999999999999999", 0, true},
		{"n=[1]", 0, true},
		{"n=1001", 0, true},
		{"n='-1001'", 0, true},
	} {
		config := mustParse(t, test.source)
		got, err := config.Int("n", 99, -1000, 1000)
		if (err != nil) != test.fails || err == nil && got != test.want {
			t.Errorf("%s: got %d, %v", test.source, got, err)
		}
	}
}

func mustParse(t *testing.T, source string) *Config {
	t.Helper()
	config, err := Parse("g.cfg", strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// FuzzParse holds the parser to: no panic, an *Error with a place inside the text for whatever
// it refuses, and the same value from what Render made of the value.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/resolve/*.cfg")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds:", err)
	}
	for _, file := range append(files, "tty1/tty1.cfg", "tty2/tty2.cfg") {
		source, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	for _, source := range []string{
		"", "a=", "a=[", "a=[[1,],]", "a='\\", "a+=1;a+='x'", "a=['x'];a=1", "a=\"\\\"\\n\"", "#", "\r", "a=0xg",
	} {
		f.Add([]byte(source))
	}
	f.Fuzz(func(t *testing.T, source []byte) {
		config, err := Parse("g.cfg", strings.NewReader(string(source)))
		if err != nil {
			checkParseError(t, source, err)
			return
		}
		again, err := Parse("g.cfg", strings.NewReader(string(config.Render())))
		if err != nil {
			t.Fatalf("rendered as\n%s%v", config.Render(), err)
		}
		if want, got := plainSettings(config), plainSettings(again); !reflect.DeepEqual(got, want) {
			t.Fatalf("rendered as\n%sgot  %v\nwant %v", config.Render(), got, want)
		}
	})
}

func checkParseError(t *testing.T, source []byte, err error) {
	var fault *Error
	if !errors.As(err, &fault) || fault.Remedy == "" {
		t.Fatalf("no *Error with a remedy: %v", err)
	}
	if len(source) <= maxConfigBytes &&
		(fault.Line < 1 || fault.Col < 1 || fault.Line > 1+strings.Count(string(source), "\n")) {
		t.Fatalf("position outside the text: %v", err)
	}
}
