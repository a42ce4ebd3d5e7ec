// Package bom writes a disc's bill of materials in CycloneDX, and the list of the source packages that the
// licences oblige its distributor to offer. Both depend only on what is on the disc, so two builds of one
// revision write the same bytes.
package bom
