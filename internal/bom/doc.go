// Package bom writes what accounts for a disc: its bill of materials in CycloneDX, and the list of the
// source packages that its licences ask to be offered. Both depend on what is in the disc only, so that
// two builds of one revision write the same bytes.
package bom
