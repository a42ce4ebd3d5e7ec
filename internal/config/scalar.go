package config

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/zerodisc/zerodisc/internal/bytesize"
)

// The values of this file are written in JSON as in YAML, so that one process can hand a Config on to another; one that
// is not given is an empty text.

// Size is a number of bytes, written as 256M or 1G.
type Size int64

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*s = 0
		return nil
	}
	n, err := bytesize.Parse(string(text))
	*s = Size(n)
	return err
}

// String is the size in the largest unit that divides it.
func (s Size) String() string {
	for i, unit := range []string{"T", "G", "M", "K"} {
		if shift := 40 - 10*i; s != 0 && s&(1<<shift-1) == 0 {
			return strconv.FormatInt(int64(s)>>shift, 10) + unit
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText writes a size.
func (s Size) MarshalText() ([]byte, error) { return textOf(s) }

// Duration is a time span, written as 20s or 5m.
type Duration time.Duration

// UnmarshalText reads a time span.
func (d *Duration) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		text = []byte("0s")
	}
	n, err := time.ParseDuration(string(text))
	if err != nil || n < 0 {
		return errors.New("want a time such as 20s or 5m")
	}
	*d = Duration(n)
	return nil
}

// MarshalText writes a time span.
func (d Duration) MarshalText() ([]byte, error) { return textOf(d) }

// Time is the time span as package time has it.
func (d Duration) Time() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// MAC is a MAC address of one station, in lower case with colons; "" for none.
type MAC string

// UnmarshalText reads a MAC address.
func (m *MAC) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = ""
		return nil
	}
	address, err := net.ParseMAC(string(text))
	switch {
	case err != nil || len(address) != 6:
		return errors.New("want a MAC address such as 52:54:00:12:34:56")
	case address[0]&1 != 0:
		return errors.New("it is the address of a group (the lowest bit of its first byte is set); " +
			"one of a single machine begins with 52:54:00, for instance")
	case address.String() == "00:00:00:00:00:00":
		return errors.New("want a MAC address that is not all zeros")
	}
	*m = MAC(address.String())
	return nil
}

// Rate is a number of bits a second.
type Rate int64

// rateUnits are how a rate may end, longest first.
var rateUnits = []struct {
	name string
	bits int64
}{
	{"Gbit/s", 1e9}, {"Mbit/s", 1e6}, {"kbit/s", 1e3}, {"GB/s", 8e9}, {"MB/s", 8e6}, {"kB/s", 8e3},
}

// UnmarshalText reads a rate, of at most 1 Tbit/s.
func (r *Rate) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = 0
		return nil
	}
	for _, u := range rateUnits {
		number, ok := cutSuffixFold(string(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n < 1 || n > 1e12/u.bits {
			break
		}
		*r = Rate(n * u.bits)
		return nil
	}
	return errors.New("want a rate such as 100Mbit/s or 10MB/s")
}

// MarshalText writes a rate.
func (r Rate) MarshalText() ([]byte, error) { return textOf(r) }

// textOf is a value's text, empty of one that is not given.
func textOf[T interface {
	~int64
	String() string
}](value T) ([]byte, error) {
	if value == 0 {
		return nil, nil
	}
	return []byte(value.String()), nil
}

// cutSuffixFold takes a suffix away. A capital B means bytes, so that only the letter before it may have any case.
func cutSuffixFold(text, suffix string) (string, bool) {
	if len(text) < len(suffix) {
		return "", false
	}
	at := len(text) - len(suffix)
	end := text[at:]
	return text[:at], end[1:] == suffix[1:] && strings.EqualFold(end[:1], suffix[:1])
}

func (r Rate) String() string {
	for _, u := range rateUnits[:3] {
		if int64(r)%u.bits == 0 {
			return fmt.Sprintf("%d%s", int64(r)/u.bits, u.name)
		}
	}
	return fmt.Sprintf("%dbit/s", int64(r))
}

// parseBool reads a switch, as kernel parameters are written and as YAML 1.1 had it.
func parseBool(text string) (value, ok bool) {
	switch strings.ToLower(text) {
	case "yes", "true", "on", "1":
		return true, true
	case "no", "false", "off", "0":
		return false, true
	}
	return false, false
}

// Is is a switch's value, or missing where it was not given.
func Is(b *bool, missing bool) bool {
	if b == nil {
		return missing
	}
	return *b
}
