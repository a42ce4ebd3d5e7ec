// Package config is zerodisc's configuration: the file zerodisc.yaml, the kernel parameters that say the same, what a
// cloud's nocloud source says, and how one comes before another.
//
// It is pure: bytes and text go in, a Config and a list of Problems come out. A Problem takes away the value that it is
// about and nothing else. Both sides use it: dom0 reads configurations, mkiso checks them and puts them on discs.
//
// The types in types.go, network.go and guest.go are the one description of what can be configured. Tags of their
// fields say how a value is checked (format, enum, min, max; format.go) and whether it is a secret; fields.txt says
// what each means, and what holds without it. The decoder, the JSON Schema, the table in docs/configuration.md, the
// merge and the list of what came from where all follow from them: a new key is a field and a line.
package config
