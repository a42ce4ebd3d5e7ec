package grub

import "context"

// NetLoader is GRUB for machines that start from the network. It takes what it needs from where it was
// loaded itself, by TFTP or HTTP.
type NetLoader struct {
	BIOS []byte // PXE network boot program
	EFI  []byte // PE program
}

// BuildNet makes the loader; payload is as for Build.
func BuildNet(ctx context.Context, payload string) (*NetLoader, error) {
	bios, err := mkimage(ctx, payload, biosNet, "")
	if err != nil {
		return nil, err
	}
	efi, err := mkimage(ctx, payload, efiNet, "")
	if err != nil {
		return nil, err
	}
	return &NetLoader{BIOS: bios, EFI: efi}, nil
}
