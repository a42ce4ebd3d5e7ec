package payload

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// errGone tells that the archive no longer has what its index named when that was fetched, or that
// the index no longer names what a lock file does.
var errGone = errors.New("not in the archive")

const keyHint = "the keyring lacks the archive's key: upgrade the package debian-archive-keyring, or check the mirror"

const signatureHint = "the archive's signature is wrong: do not use this mirror"

// aptHints explain what apt says in words a user can act on.
var aptHints = []struct{ sign, hint string }{
	{"NO_PUBKEY", keyHint},
	{"Missing key", keyHint},
	{"BADSIG", signatureHint},
	{"Bad signature", signatureHint},
	{"Message has been manipulated", signatureHint}, // sqv, which apt 3 of Debian 13 asks
	{"does not have a Release file", "check -suite and -mirror; packages are only taken from signed archives"},
	{"is not signed", "packages are only taken from signed archives: check the mirror"},
	{"Hash Sum mismatch",
		"the mirror is being updated, or a proxy damages downloads: try again later, or another -mirror"},
	{"Temporary failure resolving", "no network: use -offline if the cache was filled before"},
	{"Could not connect", "mirror not reachable: use -offline if the cache was filled before, or another -mirror"},
	{"Error reading from server",
		"the mirror broke off: try again, complete packages are kept, or use another -mirror"},
	{"Connection timed out", "the mirror does not answer: try again later or use another -mirror"},
	{"Could not resolve", "no network: use -offline if the cache was filled before"},
}

// gone is what apt says of a file, a version or a package that the archive or its index does not have.
var gone = regexp.MustCompile(`404 |File not found|Version '.*' for '.*' was not found|Unable to locate package`)

// unmet are the lines of standard output that say why packages cannot be installed.
var unmet = regexp.MustCompile(`(?m)^ *\S+ : (?:Pre-)?Depends: .*$`)

// condense makes one error of apt's error lines (E:), or of its warnings (W:) when there are
// none, and of unmet dependencies; exit stands in when it said nothing.
func condense(stdout, stderr string, exit error) error {
	said := taggedLines(stderr, "E: ")
	if len(said) == 0 {
		said = taggedLines(stderr, "W: ")
	}
	for _, line := range unmet.FindAllString(stdout, maxComplaints) {
		said = append(said, strings.TrimSpace(line))
	}
	if len(said) == 0 {
		return exit
	}
	text := strings.Join(said, "; ")
	for _, h := range aptHints {
		if strings.Contains(stderr, h.sign) {
			text += " (" + h.hint + ")"
			break
		}
	}
	switch {
	case gone.MatchString(stderr):
		return fmt.Errorf("%s: %w", text, errGone)
	case strings.Contains(stderr, "No space left on device"):
		return fmt.Errorf("%s: %w", text, syscall.ENOSPC)
	}
	return errors.New(text)
}

// maxComplaints bounds how many of apt's lines an error repeats: one that is offline complains
// once for each file.
const maxComplaints = 2

// taggedLines are the distinct lines that begin with tag, without it.
func taggedLines(text, tag string) []string {
	var list []string
	for line := range strings.Lines(text) {
		rest, tagged := strings.CutPrefix(strings.TrimRight(line, "\n"), tag)
		if tagged && !slices.Contains(list, rest) {
			list = append(list, rest)
		}
	}
	if len(list) > maxComplaints {
		list = append(list[:maxComplaints], fmt.Sprintf("and %d more", len(list)-maxComplaints))
	}
	return list
}
