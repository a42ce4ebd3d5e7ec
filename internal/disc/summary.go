package disc

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/initramfs"
	"github.com/zerodisc/zerodisc/internal/bytesize"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// groups are the lines of the summary: what is counted by the first prefix that fits its path.
var groups = []struct{ name, prefix string }{
	{"Xen", boot.MediumXen},
	{"Linux kernel", boot.MediumKernel},
	{"dom0's initrd", boot.MediumInitrd},
	{"guests", boot.MediumGuests + "/"},
	{"Debian's installer", boot.MediumInstaller + "/"},
	{"memory test", "boot/memtest86+"},
	{"iPXE", "boot/ipxe"},
	{"GRUB", "boot/"},
	{"texts and licences", ""},
}

// summary prints the bytes of the image by component; what files share counts once.
func (b *builder) summary(ctx context.Context, files []iso9660.File, parts []initramfs.Part, total int64) error {
	sizes := map[string]int64{}
	counted := map[*iso9660.Content]bool{}
	for _, f := range files {
		if counted[f.Content] || f.Content.IsTail() {
			continue
		}
		counted[f.Content] = true
		for _, g := range groups {
			if strings.HasPrefix(f.Path, g.prefix) && !strings.HasPrefix(f.Path, "EFI/") {
				sizes[g.name] += f.Content.Size
				break
			}
		}
	}
	rest := total
	for _, g := range groups {
		if sizes[g.name] == 0 {
			continue
		}
		b.sizeLine(0, g.name, sizes[g.name])
		rest -= sizes[g.name]
		if g.prefix != boot.MediumInitrd {
			continue
		}
		for _, part := range parts {
			if err := b.partSummary(ctx, part); err != nil {
				return err
			}
		}
	}
	b.sizeLine(0, "file system", rest)
	b.sizeLine(0, "in all: "+path.Clean(b.Output), total)
	return nil
}

// partSummary prints what a part of the initrd takes and, if asked to, what in it does.
func (b *builder) partSummary(ctx context.Context, part initramfs.Part) error {
	info, err := os.Stat(part.File)
	if err != nil {
		return err
	}
	b.sizeLine(1, part.Name, info.Size())
	if !b.Size {
		return nil
	}
	costs, err := part.Costs(ctx)
	if err != nil {
		return err
	}
	small := initramfs.Cost{}
	for _, c := range costs {
		if c.Bytes < smallCost {
			small.Add(c)
			continue
		}
		b.costLine(c)
	}
	small.Name = "smaller ones"
	b.costLine(small)
	return nil
}

// smallCost is how many bytes of the disc are worth a line.
const smallCost = 50_000

func (b *builder) costLine(c initramfs.Cost) {
	if c.Files == 0 {
		return
	}
	b.sizeLine(2, fmt.Sprintf("%s (files: %d, uncompressed: %s)", c.Name, c.Files, bytesize.Text(c.Plain)), c.Bytes)
}

func (b *builder) sizeLine(depth int, name string, size int64) {
	fmt.Fprintf(b.Out, "%10s  %s%s\n", bytesize.Text(size), strings.Repeat("  ", depth), name)
}
