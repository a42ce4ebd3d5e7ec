package grub

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// maxCmdline is how many bytes of a command line Xen keeps for itself (xen/common/kernel.c,
// saved_cmdline) and hands to a PV dom0 (start_info.cmd_line), less the closing NUL.
const maxCmdline = 1023

// words cuts a command line at white space outside double quotes and drops the quotes: GRUB puts
// them back around a word with a space. It refuses what GRUB would change on the way.
func words(what, line string) ([]string, error) {
	quoted := false
	list := strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && strings.ContainsRune(" \t\n", r)
	})
	if quoted {
		return nil, fmt.Errorf("%s %q: a double quote is not closed", what, line)
	}
	for i, word := range list {
		if strings.ContainsFunc(word, unfit) {
			return nil, fmt.Errorf(`%s: GRUB cannot hand on %q; leave out \, ' and control characters`, what, word)
		}
		list[i] = strings.ReplaceAll(word, `"`, "")
	}
	return list, nil
}

// unfit says which characters do not arrive: GRUB puts a backslash before \ and '
// (grub-core/lib/cmdline.c), and control characters have no meaning to a kernel.
func unfit(r rune) bool {
	return r == '\\' || r == '\'' || r == unicode.ReplacementChar || unicode.IsControl(r)
}

// checkLength refuses a command line that Xen would cut once a disc's settings are added. GRUB joins the words with
// a space and puts two quotes around one that has a space in it.
func checkLength(what string, list []string) error {
	length := len(strings.Join(list, " "))
	for _, word := range list {
		if strings.Contains(word, " ") {
			length += 2
		}
	}
	if length > maxCmdline-settingsRoom {
		return fmt.Errorf("%s: has %d bytes, at most %d leave room for the settings of the disc; shorten it",
			what, length, maxCmdline-settingsRoom)
	}
	return nil
}

// quote makes one word of GRUB's script language out of s, whatever it holds: between single
// quotes nothing is special, and a single quote itself is written outside of them.
func quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// plainWord is what needs no quotes; most words, and the menu's text stays readable.
var plainWord = regexp.MustCompile(`^[0-9A-Za-z_.,:/=+@%-]+$`)

// quoteAll quotes each word that needs it.
func quoteAll(list []string) string {
	quoted := make([]string, len(list))
	for i, word := range list {
		quoted[i] = word
		if !plainWord.MatchString(word) {
			quoted[i] = quote(word)
		}
	}
	return strings.Join(quoted, " ")
}
