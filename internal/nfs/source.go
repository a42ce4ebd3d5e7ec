// Package nfs takes guests from exports of NFS servers, versions 3 and 4, that the kernel command line names. The
// kernel's client does the work; this package asks for the mount until it is there, looks for guests in it, and says
// when the server stops answering and when it is back.
//
// Nobody waits for a server: whatever may hang in the kernel has a goroutine of its own.
package nfs

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Scheme begins the URL of an export.
const Scheme = "nfs://"

// Source is an export, as nfs://SERVER[:PORT]/PATH[?OPTIONS] names it (RFC 2224; the path is taken as absolute, with
// one slash or two).
type Source struct {
	Server  string         // name or address
	Port    int            // of the NFS service; 0 where none was given
	Path    string         // absolute and clean
	Version string         // of versions; "" for what the server has
	numbers map[string]int // what was given of numbers
}

// versions are those that an URL may ask for, and the protocol's versions that are tried for each in turn.
//
// 4.2 only by itself: reading a file it has an operation that leaves out holes (READ_PLUS), which nfs-ganesha 4.3
// answers in such a way that Linux 6.12 finds zeros, or an error, where there are data. For reading it has nothing
// else. 4.0 comes last, as it makes Linux listen for calls from the server.
var versions = map[string][]string{
	"": {"4.1", "3", "4.0"}, "4": {"4.1", "4.0"}, "4.2": {"4.2"}, "4.1": {"4.1"}, "4.0": {"4.0"}, "3": {"3"},
}

// numbers are the options of nfs(5) that an URL may have, with their limits.
var numbers = map[string]struct{ min, max int }{
	"mountport": {1, 65535},      // of the server's mount service, with version 3; else rpcbind is asked for it
	"rsize":     {1024, 1 << 20}, // bytes
	"timeo":     {10, 600},       // a tenth of a second
	"retrans":   {1, 10},
	"nconnect":  {1, 16},
}

// Parse reads the URL of an export. GRUB hands on neither ? nor, to all systems, &, so options may stand after ! as
// well: nfs://nas/guests!vers=3!mountport=635. Errors do not quote an URL that may have a password.
func Parse(text string) (Source, error) {
	if strings.Contains(text, "@") {
		return Source{}, errors.New("NFS takes no user and no password: remove what is before the @")
	}
	plain := text
	if before, after, ok := strings.Cut(text, "!"); ok {
		plain = before + "?" + strings.ReplaceAll(after, "!", "&")
	}
	u, err := url.Parse(plain)
	if err != nil {
		return Source{}, fmt.Errorf("%q is no URL: %w", text, errors.Unwrap(err))
	}
	s := Source{Server: u.Hostname(), Path: path.Clean("/" + u.Path)}
	switch {
	case u.Scheme+"://" != Scheme, s.Server == "", u.Path == "", u.Fragment != "":
		return Source{}, fmt.Errorf("%q is not the URL of an export; write %sSERVER/DIRECTORY", text, Scheme)
	case len(s.Path) > maxPath || strings.ContainsFunc(s.Server+s.Path, isControl):
		return Source{}, fmt.Errorf("%q: no export has such a path", text)
	}
	if u.Port() != "" {
		if s.Port, err = number(u.Port(), 1, 65535); err != nil {
			return Source{}, fmt.Errorf("%q: port: %w", text, err)
		}
	}
	if err := s.options(u.RawQuery); err != nil {
		return Source{}, fmt.Errorf("%q: %w", text, err)
	}
	return s, nil
}

// maxPath is how long the path of an export may be: with the server's name it is one text of a mount's.
const maxPath = 1024

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// options reads the query of the URL.
func (s *Source) options(query string) error {
	options, err := url.ParseQuery(query)
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(options)) {
		value := options.Get(key)
		limits, isNumber := numbers[key]
		switch {
		case key == "vers" && value != "" && versions[value] != nil:
			s.Version = value
		case key == "vers":
			return fmt.Errorf("vers=%s is none of 3, 4, 4.0, 4.1 and 4.2", value)
		case !isNumber:
			return fmt.Errorf("there is no option %s; there are vers, %s", key,
				strings.Join(slices.Sorted(maps.Keys(numbers)), ", "))
		default:
			n, err := number(value, limits.min, limits.max)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			if s.numbers == nil {
				s.numbers = map[string]int{}
			}
			s.numbers[key] = n
		}
	}
	return nil
}

func number(text string, least, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not a number from %d to %d", text, least, most)
	}
	return n, nil
}

// String is the URL without its options.
func (s Source) String() string {
	host := s.Server
	switch {
	case s.Port != 0:
		host = net.JoinHostPort(host, strconv.Itoa(s.Port))
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return (&url.URL{Scheme: "nfs", Host: host, Path: s.Path}).String()
}
