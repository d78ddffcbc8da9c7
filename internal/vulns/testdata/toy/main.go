// Toy calls what was vulnerable in a version of long ago, GO-2021-0113, for a test to find that.
package main

import (
	"fmt"
	"os"

	"golang.org/x/text/language"
)

func main() { fmt.Println(language.Parse(os.Args[1])) }
