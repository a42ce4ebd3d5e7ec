package udevadm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// option is an option of a command, in getopt's syntax: -o VALUE, -oVALUE, --option=VALUE, --option VALUE. Several
// short ones may stand together.
type option struct {
	short byte   // 0 for none
	long  string // without "--"
	set   func(value string) error
	flag  bool // takes no value
}

// flag is an option without a value.
func flag(short byte, long string, is *bool) option {
	return option{short, long, func(string) error { *is = true; return nil }, true}
}

// text is an option whose last value counts.
func text(short byte, long string, value *string) option {
	return option{short, long, func(v string) error { *value = v; return nil }, false}
}

// list is an option that may be given several times.
func list(short byte, long string, values *[]string) option {
	return option{short, long, func(v string) error { *values = append(*values, v); return nil }, false}
}

// choice is an option with a value that must be one of some.
func choice(short byte, long string, value *string, of ...string) option {
	return option{short, long, func(v string) error {
		for _, one := range of {
			if v == one {
				*value = v
				return nil
			}
		}
		return fmt.Errorf("%q is none of %s", v, strings.Join(of, ", "))
	}, false}
}

// seconds is an option for a time: a number of seconds, or a number with a unit (500ms).
func seconds(short byte, long string, value *time.Duration) option {
	return option{short, long, func(v string) error {
		d, err := time.ParseDuration(v)
		if n, nErr := strconv.ParseUint(v, 10, 31); nErr == nil {
			d, err = time.Duration(n)*time.Second, nil
		}
		if err != nil || d < 0 {
			return fmt.Errorf("%q is no number of seconds", v)
		}
		*value = d
		return nil
	}, false}
}

// standard are the options of every command.
var standard = []option{
	{'h', "help", func(string) error { return errHelp }, true},
	{'V', "version", func(string) error { return errVersion }, true},
}

// parse reads options and returns what is none. "--" ends them.
func parse(args []string, options []option) (rest []string, err error) {
	options = append(options, standard...)
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			return append(rest, args...), nil
		case strings.HasPrefix(arg, "--"):
			args, err = parseLong(arg[2:], args, options)
		case len(arg) > 1 && arg[0] == '-':
			args, err = parseShort(arg[1:], args, options)
		default:
			rest = append(rest, arg)
		}
		if err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func parseLong(arg string, args []string, options []option) ([]string, error) {
	name, value, hasValue := strings.Cut(arg, "=")
	for _, o := range options {
		if o.long != name || name == "" {
			continue
		}
		switch {
		case o.flag && hasValue:
			return nil, fmt.Errorf("option --%s takes no value: %w", name, errUsage)
		case !o.flag && !hasValue:
			if len(args) == 0 {
				return nil, fmt.Errorf("option --%s needs a value: %w", name, errUsage)
			}
			value, args = args[0], args[1:]
		}
		return args, about("--"+name, o.set(value))
	}
	return nil, fmt.Errorf("unknown option --%s: %w", name, errUsage)
}

func parseShort(arg string, args []string, options []option) ([]string, error) {
	for arg != "" {
		letter := arg[0]
		arg = arg[1:]
		o, ok := find(options, letter)
		switch {
		case !ok:
			return nil, fmt.Errorf("unknown option -%c: %w", letter, errUsage)
		case o.flag:
			if err := o.set(""); err != nil {
				return nil, about("-"+string(letter), err)
			}
			continue
		case arg == "" && len(args) == 0:
			return nil, fmt.Errorf("option -%c needs a value: %w", letter, errUsage)
		case arg == "":
			arg, args = args[0], args[1:]
		}
		return args, about("-"+string(letter), o.set(arg))
	}
	return args, nil
}

func find(options []option, letter byte) (option, bool) {
	for _, o := range options {
		if o.short == letter {
			return o, true
		}
	}
	return option{}, false
}

// about says which option an error is about.
func about(name string, err error) error {
	if err == nil || err == errHelp || err == errVersion {
		return err
	}
	return fmt.Errorf("option %s: %w", name, err)
}
