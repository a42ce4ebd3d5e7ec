package bundle

import (
	"regexp"
	"sync"
)

// secret is a kind of secret that text may have in it.
type secret struct {
	name    string
	pattern *regexp.Regexp
	hidden  string // what is written in its place; $1 is what the pattern keeps
}

// Removed stands where a secret was.
const Removed = "[removed]"

// secrets are the kinds that are removed. A pattern rather takes too much than too little. They are compiled when they
// are needed: this program has many roles, and in most of them they are not.
var secrets = sync.OnceValue(func() []secret {
	return []secret{
		{"private key", regexp.MustCompile(
			`(?s)-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)`), Removed},
		// The user's name before a password, or a token before an @ in a URL, and CHAP's two pairs.
		{"credentials in a URL", regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^\s/"']+@`), "${1}" + Removed + "@"},
		{"query of a URL with a signature", regexp.MustCompile(
			`(?i)([?&](?:[a-z0-9_-]*(?:token|signature|secret|password|passwd|key|sig|auth|credential)[a-z0-9_-]*)=)` +
				`[^\s&"']+`),
			"${1}" + Removed},
		{"iSCSI credentials", regexp.MustCompile(`(zerodisc\.iscsi=|,)[^\s,@"']+:[^\s,@"']+@`), "${1}" + Removed + "@"},
		{"crypt(3) hash", regexp.MustCompile(
			`\$(?:1|2[abxy]?|5|6|7|y|gy|sm3|md5|sha1|argon2(?:id|i|d)?)[$,][^\s:"',;]+`), Removed},
		// NAME=VALUE, NAME: VALUE, "NAME": "VALUE": as on a command line, in YAML, in JSON, in an xl configuration. In
		// quotes a value may have spaces; a list goes as a whole.
		{"named secret", regexp.MustCompile(
			`(?i)((?:[a-z0-9_.-]*(?:passwd|password|passphrase|secret|token|chap|psk|private[-_]?key|api[-_]?key|` +
				`auth[-_]?key|host[-_]?keys?|one[-_]?time|otp)[a-z0-9_-]*)["']?[ \t]*[=:][ \t]*)` +
				`("(?:[^"\\\n]|\\.)*"|'[^'\n]*'|` +
				`\[[^\]\n]*\]|[^\s,;"'}]+)`),
			"${1}" + Removed},
		{"authorisation header", regexp.MustCompile(`(?i)((?:bearer|basic)[ \t]+)[a-z0-9+/=._~-]{8,}`),
			"${1}" + Removed},
	}
})

// Clean removes secrets from text.
func Clean(text []byte) []byte {
	for _, s := range secrets() {
		text = s.pattern.ReplaceAll(text, []byte(s.hidden))
	}
	return text
}
