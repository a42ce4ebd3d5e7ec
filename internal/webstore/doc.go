// Package webstore takes guests from a directory on a web server into dom0's memory.
//
// The directory is a store: it holds guest directories, and beside them SHA256SUMS, the list that
// sha256sum(1) writes of the files below it. What the list has is fetched, nothing else; no index
// page is read. Every file is checked while it is written. Where the sum of the list itself is given
// (Source.Pin), all that is taken is what was meant, whoever stands between the two machines.
//
// A machine boots faster than its network, and servers are restarted: whatever may pass is tried
// again for as long as the machine runs, a broken file from where it broke. What will not pass costs
// one guest, and the others go on.
package webstore
