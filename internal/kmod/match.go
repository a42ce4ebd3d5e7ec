package kmod

import "strings"

// metaBytes are the bytes at which the literal start of an alias pattern ends. A space counts
// too: it is what separates the pattern from the module's name in the index.
const metaBytes = "*?[\\ "

// Normalize gives a module name or alias the form in which they are compared: "-" and "_" are
// the same to the kernel, except inside brackets, where "-" is a range.
func Normalize(s string) string {
	if strings.IndexByte(s, '-') < 0 {
		return s
	}
	out := []byte(s)
	bracket := false
	for i, c := range out {
		switch {
		case c == '[':
			bracket = true
		case c == ']':
			bracket = false
		case c == '-' && !bracket:
			out[i] = '_'
		}
	}
	return string(out)
}

// Match reports whether the whole of s matches pattern by the rules of fnmatch(3) without
// flags: "*", "?" and "[...]" match any byte, "/" and a leading "." included, and a backslash
// takes the next byte literally. A bracket that is never closed stands for itself. Go's
// path.Match does not do: its "*" stops at "/".
func Match(pattern, s string) bool {
	p, i := 0, 0
	star, resume := -1, 0 // the last "*" seen, and where in s it is to be tried next
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, resume = p, i
			continue
		}
		if width, ok := matchByte(pattern[p:], s[i]); ok {
			p += width
			i++
			continue
		}
		if star < 0 {
			return false
		}
		resume++
		p, i = star, resume
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchByte matches c against the first element of pattern and returns the element's width.
func matchByte(pattern string, c byte) (width int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if set, width, closed := cutSet(pattern); closed {
			return width, matchSet(set, c)
		}
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// cutSet cuts the bracket expression that pattern starts with: its inside and its whole width.
// A "]" that comes first, or first after the negation, belongs to the set.
func cutSet(pattern string) (set string, width int, closed bool) {
	first := 1
	if len(pattern) > 1 && (pattern[1] == '!' || pattern[1] == '^') {
		first = 2
	}
	if first+1 > len(pattern) {
		return "", 0, false
	}
	end := strings.IndexByte(pattern[first+1:], ']')
	if end < 0 {
		return "", 0, false
	}
	end += first + 1
	return pattern[1:end], end + 1, true
}

// matchSet reports whether c is in the inside of a bracket expression.
func matchSet(set string, c byte) bool {
	negated := set[0] == '!' || set[0] == '^'
	if negated {
		set = set[1:]
	}
	found := false
	for len(set) > 0 {
		if len(set) > 2 && set[1] == '-' {
			found = found || set[0] <= c && c <= set[2]
			set = set[3:]
			continue
		}
		found = found || set[0] == c
		set = set[1:]
	}
	return found != negated
}
