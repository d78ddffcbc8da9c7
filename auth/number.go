package auth

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
)

// PlainNumbers returns a claim with its numbers as float64: that is what a session has of them
// once it was written down and read again, and what expressions compare. One of which a float64
// may not hold every digit is its text, for 9007199254740993 must not become somebody else's
// number. Nothing of v is edited.
func PlainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		want, ok := decimal(v.String())
		got, _ := decimal(strconv.FormatFloat(f, 'e', -1, 64))
		if err != nil || !ok || want != got || math.Abs(f) >= exactly {
			return v.String()
		}
		return f
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = PlainNumbers(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = PlainNumbers(v[name])
		}
		return out
	}
	return v
}

// exactly is where whole numbers begin to share a float64.
const exactly = 1 << 53

// number is a claim that is one, as decimal has it.
func number(v any) (string, bool) {
	switch v := v.(type) {
	case float64:
		return decimal(strconv.FormatFloat(v, 'e', -1, 64))
	case json.Number:
		return decimal(v.String())
	case int:
		return decimal(strconv.Itoa(v))
	case int64:
		return decimal(strconv.FormatInt(v, 10))
	}
	return "", false
}

// decimal writes a number of JSON in the one way that all its spellings have in common: 3, 3.0
// and 30e-1 are "3e0". It is not ok for what is no number (RFC 8259 section 6), or one with an
// exponent beyond reason. It computes nothing, so no digits are lost, and none are made.
func decimal(s string) (string, bool) {
	sign, rest := "", s
	if strings.HasPrefix(s, "-") {
		sign, rest = "-", s[1:]
	}
	mantissa, power, exp := rest, 0, ""
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa, exp = rest[:i], rest[i+1:]
		digits := strings.TrimLeft(exp, "+-")
		if !isDigits(digits) || len(exp)-len(digits) > 1 || len(digits) > 9 {
			return "", false
		}
		power, _ = strconv.Atoi(exp)
	}
	whole, fraction, dot := strings.Cut(mantissa, ".")
	if !isDigits(whole) || len(whole) > 1 && whole[0] == '0' || dot && !isDigits(fraction) {
		return "", false
	}
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0e0", true
	}
	short := strings.TrimRight(digits, "0")
	power += len(digits) - len(short) - len(fraction)
	return sign + short + "e" + strconv.Itoa(power), true
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// numberText is a number as most people write it: without an exponent, unless that takes many
// digits.
func numberText(v any) string {
	canonical, _ := number(v)
	digits, exp, ok := strings.Cut(canonical, "e")
	if power, _ := strconv.Atoi(exp); ok && power >= -20 && power <= 20 {
		sign := ""
		if digits[0] == '-' {
			sign, digits = "-", digits[1:]
		}
		switch {
		case power >= 0:
			return sign + digits + strings.Repeat("0", power)
		case -power < len(digits):
			return sign + digits[:len(digits)+power] + "." + digits[len(digits)+power:]
		}
		return sign + "0." + strings.Repeat("0", -power-len(digits)) + digits
	}
	if n, isNumber := v.(json.Number); isNumber {
		return n.String()
	}
	f, _ := v.(float64)
	return strconv.FormatFloat(f, 'f', -1, 64)
}
