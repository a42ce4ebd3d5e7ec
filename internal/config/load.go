package config

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadFile reads and checks the configuration in a file, for mkiso. All problems are in the error.
func ReadFile(name string) (text []byte, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer f.Close()
	if text, err = io.ReadAll(io.LimitReader(f, MaxSize+1)); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var list []error
	for _, p := range Parse(name, text).Check() {
		list = append(list, p)
	}
	return text, errors.Join(list...)
}
