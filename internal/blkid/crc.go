package blkid

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// crc32c is the CRC-32C that most file systems use, with the usual inversions.
func crc32c(data []byte) uint32 { return crc32.Checksum(data, castagnoli) }

// crc32cWithout is crc32c with the n bytes at an offset taken as zeros: where the sum itself stands.
func crc32cWithout(data []byte, at, n int) uint32 {
	sum := crc32.Update(0, castagnoli, data[:at])
	sum = crc32.Update(sum, castagnoli, make([]byte, n))
	return crc32.Update(sum, castagnoli, data[at+n:])
}

// rawCRC32 is Ethernet's CRC-32 from a given start and without inversions, as LVM and F2FS use it.
func rawCRC32(start uint32, data []byte) uint32 {
	return ^crc32.Update(^start, crc32.IEEETable, data)
}
