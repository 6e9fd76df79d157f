// Package nearest suggests what a misspelt name was meant to be.
package nearest

import "strings"

// Suggest returns "; did you mean NAME?" with what Find finds, or nothing.
func Suggest(name string, known []string) string {
	if best := Find(name, known); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// Find returns the known name at the smallest edit distance, or "" when none is close. Of several at one distance the
// first wins.
func Find(name string, known []string) string {
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap with their neighbour.
func distance(a, b string) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
