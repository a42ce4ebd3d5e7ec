package config

import (
	"fmt"
	"slices"
	"strings"
)

// suggest is a hint at the name that was meant: "; did you mean NAME?", or the list where there are few and none is
// near.
func suggest(given string, names []string) string {
	best, distance := "", 1+len(given)/3
	for _, name := range names {
		if d := editDistance(given, name); d <= distance && (best == "" || d < distance) {
			best, distance = name, d
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("; did you mean %s?", best)
	case len(names) > 0 && len(names) <= 16:
		return "; there are " + strings.Join(names, ", ")
	}
	return ""
}

// maxCompared bounds the names that are compared, which takes the product of their lengths.
const maxCompared = 64

// editDistance is how many letters have to be inserted, removed, replaced or swapped with the next one to make b of a
// (Damerau and Levenshtein, optimal string alignment). Upper and lower case are the same.
func editDistance(a, b string) int {
	if len(a) > maxCompared || len(b) > maxCompared {
		return maxCompared
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// sorted is the keys of a map in their order.
func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
