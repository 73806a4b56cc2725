package code

// minBeginning is how many letters may stand for the one word that begins with them.
const minBeginning = 4

// nearest returns the word of the list that was plainly meant: the one that begins so, or the only one that differs least, if
// that is little. It is empty if there is none, or if there are several.
func nearest(typed string, list []string) string {
	if len(typed) >= minBeginning {
		if begun := completions("", typed, list, ""); len(begun) == 1 {
			return begun[0]
		}
	}
	best, distance, several := "", mostEdits(typed)+1, false
	for _, word := range list {
		switch d := editDistance(typed, word); {
		case d < distance:
			best, distance, several = word, d, false
		case d == distance:
			several = true
		}
	}
	if several {
		return ""
	}
	return best
}

// mostEdits is how many typing errors leave it plain which word was meant. Short words are near to too many others.
func mostEdits(typed string) int {
	switch {
	case len(typed) < 5:
		return 1
	case len(typed) < 9:
		return 2
	}
	return 3
}

// editDistance counts the letters that were left out, put in, replaced, or exchanged with the next.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
