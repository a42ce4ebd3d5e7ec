package remaster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/zerodisc/zerodisc/boot"
	"github.com/zerodisc/zerodisc/internal/config"
	"github.com/zerodisc/zerodisc/internal/iso9660"
)

// CheckConfig tells a person on out what is wrong with a configuration: a zerodisc.yaml, or that of a disc (an ISO
// image or a device). It is an error if anything is.
func CheckConfig(out io.Writer, name string) error {
	isDisc, err := isImage(name)
	if err != nil {
		return err
	}
	var text []byte
	source := name
	if isDisc {
		source = name + ": /" + boot.ConfigName
		text, err = discConfig(name)
	} else {
		text, err = readBounded(name)
	}
	if err != nil {
		return err
	}
	file := config.Parse(source, text)
	problems := file.Check()
	for _, p := range problems {
		fmt.Fprintln(out, p)
	}
	switch len(problems) {
	case 0:
		settings := len(config.Merge(config.Layer{Config: file.Config}).Settings)
		_, err = fmt.Fprintf(out, "%s: %d settings, nothing is wrong\n", source, settings)
		return err
	case 1:
		return errors.New("there is 1 problem; what it is about will not be used")
	}
	return fmt.Errorf("there are %d problems; what they are about will not be used", len(problems))
}

// discConfig is the configuration on a disc.
func discConfig(name string) ([]byte, error) {
	disc, err := openZerodisc(name)
	if err != nil {
		return nil, err
	}
	text, err := disc.ReadFile(boot.ConfigName, config.MaxSize)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return text, errors.Join(err, disc.Close())
}

// isImage says whether a file has a volume descriptor of ISO 9660 (ECMA-119 8.1) in its place.
func isImage(name string) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	mark := make([]byte, 5)
	n, _ := f.ReadAt(mark, 16*iso9660.SectorSize+1)
	return bytes.Equal(mark[:n], []byte("CD001")), nil
}

// readBounded reads as much of a file as shows whether it is too long.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, config.MaxSize+1))
}
