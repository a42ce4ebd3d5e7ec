// Package lazyregexp compiles regular expressions when they are used first. Every role of init is a process with all
// packages in it, most of which it never uses: the expressions of four of them took 600 kB of each process, and a
// fortieth of a second under emulation (docs/decisions.md). Go's own internal/lazyregexp is the model.
package lazyregexp

import (
	"regexp"
	"sync"
)

// Regexp is an expression that is compiled by its first use.
type Regexp struct{ compiled func() *regexp.Regexp }

// New returns the expression text, which must be right: its first use panics if not. The tests of the packages that
// have one use it.
func New(text string) *Regexp {
	return &Regexp{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })}
}

// MatchString is Regexp.MatchString of package regexp.
func (r *Regexp) MatchString(s string) bool { return r.compiled().MatchString(s) }

// FindStringSubmatch is Regexp.FindStringSubmatch of package regexp.
func (r *Regexp) FindStringSubmatch(s string) []string { return r.compiled().FindStringSubmatch(s) }
