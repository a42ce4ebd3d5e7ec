package iscsi

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// parameters are what a login agrees on (RFC 7143 section 13).
type parameters struct {
	headerDigest, dataDigest bool // CRC32C
	initialR2T, immediate    bool
	maxSend                  int // bytes of data in a PDU to the target
	maxBurst, firstBurst     int // bytes
	maxR2T                   int
	inOrder, sequenceInOrder bool
}

// defaults are what holds for a key that a target does not answer.
var defaults = parameters{
	initialR2T: true, immediate: true, maxSend: 8192, maxBurst: 262144, firstBurst: 65536, maxR2T: 1,
	inOrder: true, sequenceInOrder: true,
}

// Sizes that are offered, those of open-iscsi.
const (
	maxReceive      = 262144
	offerMaxBurst   = 16776192
	offerFirstBurst = 262144
)

// offers are the keys of the operational stage. A checksum is for the target to ask for: on the local network TCP's
// does, and CRC32C takes processor time.
var offers = []pair{
	{"HeaderDigest", "None,CRC32C"}, {"DataDigest", "None,CRC32C"},
	{"InitialR2T", "No"}, {"ImmediateData", "Yes"},
	{"MaxRecvDataSegmentLength", strconv.Itoa(maxReceive)},
	{"MaxBurstLength", strconv.Itoa(offerMaxBurst)}, {"FirstBurstLength", strconv.Itoa(offerFirstBurst)},
	{"MaxOutstandingR2T", "1"}, {"MaxConnections", "1"}, {"ErrorRecoveryLevel", "0"},
	{"DefaultTime2Wait", "2"}, {"DefaultTime2Retain", "0"},
	{"DataPDUInOrder", "Yes"}, {"DataSequenceInOrder", "Yes"},
}

// settings read the target's answers to the offers.
var settings = map[string]func(p *parameters, value string) error{
	"HeaderDigest":             func(p *parameters, v string) error { return digest(v, &p.headerDigest) },
	"DataDigest":               func(p *parameters, v string) error { return digest(v, &p.dataDigest) },
	"InitialR2T":               func(p *parameters, v string) error { return yesNo(v, &p.initialR2T) },
	"ImmediateData":            func(p *parameters, v string) error { return yesNo(v, &p.immediate) },
	"MaxRecvDataSegmentLength": func(p *parameters, v string) error { return size(v, maxDataLength, &p.maxSend) },
	"MaxBurstLength":           func(p *parameters, v string) error { return size(v, offerMaxBurst, &p.maxBurst) },
	"FirstBurstLength":         func(p *parameters, v string) error { return size(v, offerFirstBurst, &p.firstBurst) },
	"DataPDUInOrder":           func(p *parameters, v string) error { return yesNo(v, &p.inOrder) },
	"DataSequenceInOrder":      func(p *parameters, v string) error { return yesNo(v, &p.sequenceInOrder) },
}

// maxDataLength is what the length of a PDU's data can say.
const maxDataLength = 1<<24 - 1

// declared are keys that a target says of itself, which need no answer.
var declared = map[string]bool{
	"TargetAlias": true, "TargetAddress": true, "TargetPortalGroupTag": true, "MaxRecvDataSegmentLength": true,
}

// take takes in what a target says and returns the answers to what it asks.
func (p *parameters) take(said keys) (answers []pair, err error) {
	offered := map[string]bool{}
	for _, o := range offers {
		offered[o.key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(said)) {
		value := said[key]
		if value == "Reject" {
			return nil, fmt.Errorf("the target rejects what was offered as %s", shown(key))
		}
		set, known := settings[key]
		switch {
		case value == "NotUnderstood", value == "Irrelevant", value == "None" && !known:
		case known:
			if err := set(p, value); err != nil {
				return nil, fmt.Errorf("the target's %s: %w", key, err)
			}
		case !offered[key] && !declared[key]:
			answers = append(answers, pair{key, "NotUnderstood"})
		}
	}
	return answers, nil
}

// check says what of it the kernel cannot do. A first burst that is longer than a burst is cut: some targets name each
// alone.
func (p *parameters) check() error {
	p.firstBurst = min(p.firstBurst, p.maxBurst)
	if !p.inOrder || !p.sequenceInOrder {
		return errors.New("the target wants to send data out of order")
	}
	return nil
}

func digest(value string, to *bool) error {
	if value != "None" && value != "CRC32C" {
		return fmt.Errorf("%s was not offered", shown(value))
	}
	*to = value == "CRC32C"
	return nil
}

func yesNo(value string, to *bool) error {
	if value != "Yes" && value != "No" {
		return fmt.Errorf("%s is neither Yes nor No", shown(value))
	}
	*to = value == "Yes"
	return nil
}

// minSize is the least that sizes may be (RFC 7143 section 13.12).
const minSize = 512

// size reads a number of bytes. What is over the limit is cut down to it.
func size(value string, most int, to *int) error {
	n, err := strconv.ParseUint(value, 0, 32)
	if err != nil || n < minSize {
		return fmt.Errorf("%s is no number of bytes from %d on", shown(value), minSize)
	}
	*to = int(min(n, uint64(most)))
	return nil
}
