// Package api is the local API of the host: what the command guest, and whoever writes a program for it, talks to
// over a unix socket. Its shape is that of Incus' REST API (doc/rest-api.md there): an envelope around every answer,
// operations for what takes time, a stream of events and consoles as websockets. docs/api.md describes it for
// people, openapi.yaml for programs; a test holds both to the table of routes.
//
// It is a view: guests and host are read from a host.Snapshot, and everything that is ordered goes to the
// controller. Of its own it has operations, which package-wide one goroutine owns.
package api
