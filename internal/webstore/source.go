package webstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
)

// Source is where a store is.
type Source struct {
	URL *url.URL           // of the directory, with a slash at its end
	Pin *[sha256.Size]byte // SHA-256 of the list; nil accepts any list
}

// String is the URL without credentials.
func (s Source) String() string { return shown(s.URL) }

// shown is a URL without credentials. The user's name may be one as well: many servers take a token there.
func shown(u *url.URL) string {
	public := *u
	if u.User != nil {
		public.User = url.User("xxxxx")
	}
	return public.String()
}

// ParseSources reads the values of the kernel parameters boot.KeyGuests and boot.KeyGuestsSum: URLs, and
// a sum for each of them, both separated by commas. A list is not pinned if its sum is empty, or if pins
// is. An error means no source at all: a pin that cannot be read must not leave its store unpinned.
func ParseSources(urls, pins string) ([]Source, error) {
	var sources []Source
	texts := strings.Split(urls, ",")
	for i, text := range texts {
		u, err := parseURL(text)
		if err != nil && strings.Contains(urls, "@") {
			err = fmt.Errorf("URL %d of %d is not the URL of a directory (not shown, as it may have a password); "+
				"in a password write a comma as %%2C, and likewise / ? # @ and :", i+1, len(texts))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", boot.KeyGuests, err)
		}
		sources = append(sources, Source{URL: u})
	}
	if err := pin(sources, pins); err != nil {
		return nil, err
	}
	return sources, nil
}

// pin gives each source its sum.
func pin(sources []Source, pins string) error {
	if pins == "" {
		return nil
	}
	sums := strings.Split(pins, ",")
	if len(sums) != len(sources) {
		return fmt.Errorf("%s has %d sums and %s has %d URLs; write one for each, separated by commas",
			boot.KeyGuestsSum, len(sums), boot.KeyGuests, len(sources))
	}
	for i, text := range sums {
		pin, err := parsePin(text)
		if err != nil {
			return fmt.Errorf("%s: %w", boot.KeyGuestsSum, err)
		}
		sources[i].Pin = pin
	}
	return nil
}

// parseURL reads the URL of a directory. Errors quote it.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	var fault *url.Error
	switch {
	case errors.As(err, &fault):
		return nil, fmt.Errorf("%q is no URL: %w", text, fault.Err)
	case err != nil:
		return nil, err
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("%q is not the URL of a directory; "+
			"write http://HOST/DIRECTORY/ or https://HOST/DIRECTORY/", text)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%q: a directory's URL has no %q and no %q", text, "?", "#")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path, u.RawPath = u.Path+"/", u.EscapedPath()+"/"
	}
	return u, nil
}

// parsePin reads a sum; nil if it is empty.
func parsePin(text string) (*[sha256.Size]byte, error) {
	if text == "" {
		return nil, nil
	}
	sum, err := hex.DecodeString(text)
	if err != nil || len(sum) != sha256.Size {
		return nil, fmt.Errorf("%q is no SHA-256; write the %d digits that sha256sum prints for the list",
			text, 2*sha256.Size)
	}
	return (*[sha256.Size]byte)(sum), nil
}

// file is the URL of a file of the store.
func (s Source) file(path string) *url.URL {
	u := *s.URL
	u.Path = s.URL.Path + path
	u.RawPath = s.URL.EscapedPath() + (&url.URL{Path: path}).EscapedPath()
	return &u
}
