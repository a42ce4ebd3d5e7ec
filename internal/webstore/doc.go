// Package webstore fetches guests from a directory on a web server into dom0's memory.
//
// The directory is a store: it has guest directories and, next to them, SHA256SUMS, the list that
// sha256sum(1) writes of the files below it. The files of the list are fetched and nothing else; no index
// page is read. Every file is checked while it is written. Pinning the list's own sum (Source.Pin) makes
// plain HTTP safe: nobody between the two machines can change what is fetched.
//
// A machine boots faster than its network, and servers restart. A failure that may pass is tried again for
// as long as the machine runs, and a broken download continues where it broke. A failure that will not
// pass costs one guest; the others go on.
package webstore
