package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// field is a field of one of the structures.
type field struct {
	name  string
	index int
	tag   reflect.StructTag
	typ   reflect.Type
}

func fieldsOf(t reflect.Type) []field {
	fields := make([]field, t.NumField())
	for i := range fields {
		f := t.Field(i)
		fields[i] = field{f.Tag.Get("yaml"), i, f.Tag, f.Type}
	}
	return fields
}

func names(fields []field) []string {
	var list []string
	for _, f := range fields {
		list = append(list, f.name)
	}
	return list
}

func find(fields []field, name string) (field, bool) {
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return field{}, false
	}
	return fields[i], true
}

func (f field) secret() bool { return f.tag.Get("secret") != "" }

// bondModes are the kernel's (Documentation/networking/bonding.rst).
var bondModes = []string{
	"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb",
}

// choices are the values that a field may have, nil where they cannot be listed.
func (f field) choices() []string {
	if f.tag.Get("format") == "bond-mode" {
		return bondModes
	}
	if list := f.tag.Get("enum"); list != "" {
		return strings.Split(list, ",")
	}
	return nil
}

// join is the key of something below another key. Names with a dot have quotes.
func join(key, name string) string {
	if strings.ContainsAny(name, `." `) {
		name = strconv.Quote(name)
	}
	if key == "" {
		return name
	}
	return key + "." + name
}

func setInt(to *int, f field, text string) error {
	n, err := strconv.Atoi(text)
	low, high := f.tag.Get("min"), f.tag.Get("max")
	least, errLow := strconv.Atoi(low)
	most, errHigh := strconv.Atoi(high)
	if err != nil || errLow == nil && n < least || errHigh == nil && n > most {
		return fmt.Errorf("want a number from %s to %s", low, high)
	}
	*to = n
	return nil
}

// checkRange holds sizes and times to a field's limits, which are written like values.
func (f field) checkRange(v reflect.Value) error {
	for _, limit := range []struct {
		text, want string
		sign       int64
	}{{f.tag.Get("min"), "at least", 1}, {f.tag.Get("max"), "at most", -1}} {
		if limit.text == "" {
			continue
		}
		bound := reflect.New(v.Type())
		unlimited := field{}
		if err := set(bound.Elem(), unlimited, limit.text); err != nil {
			return err
		}
		if limit.sign*v.Int() < limit.sign*bound.Elem().Int() {
			return fmt.Errorf("want %s %s", limit.want, limit.text)
		}
	}
	return nil
}

var (
	errAddress = errors.New("want an IP address such as 192.0.2.1 or 2001:db8::1")
	errPrefix  = errors.New("want an address with the length of its network, such as 192.0.2.5/24 or 2001:db8::5/64")
)

func setAddress(to *netip.Addr, f field, text string) error {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return errAddress
	}
	*to = a
	return f.checkFamily(a)
}

func setPrefix(to *netip.Prefix, f field, text string) error {
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return errPrefix
	}
	whole := p.Bits() == p.Addr().BitLen()
	switch isNetwork := p == p.Masked(); {
	case f.tag.Get("format") == "network" && !isNetwork:
		return fmt.Errorf("it is the address of a host; the network is %s", p.Masked())
	case f.tag.Get("format") != "network" && isNetwork && !whole && p.Bits()+1 < p.Addr().BitLen():
		return fmt.Errorf("it is the address of the network; want that of a host in it, such as %s/%d",
			p.Addr().Next(), p.Bits())
	}
	*to = p
	return f.checkFamily(p.Addr())
}

// checkFamily wants an address of the family that a field's format ends with, and one that a host can have.
func (f field) checkFamily(a netip.Addr) error {
	format := f.tag.Get("format")
	switch {
	case strings.HasSuffix(format, "4") && !a.Is4():
		return errors.New("want an IPv4 address here")
	case strings.HasSuffix(format, "6") && !a.Is6():
		return errors.New("want an IPv6 address here")
	case format == "network":
		return nil
	case a.IsMulticast() || a.IsUnspecified() || a.IsLoopback():
		return errors.New("no host can have that address")
	}
	return nil
}
