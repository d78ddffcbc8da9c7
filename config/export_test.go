package config

import (
	"net/url"
	"reflect"
)

// AllKeys lists every key of a struct and of those in it that works in this version.
func AllKeys(t reflect.Type) (keys []string) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return AllKeys(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	if t == reflect.TypeFor[url.URL]() {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("yaml"); key != "" {
			keys = append(append(keys, key), AllKeys(f.Type)...)
		}
	}
	return keys
}

// Update reports whether golden files are to be written anew.
func Update() bool { return *update }

func fieldFor(t reflect.Type, key string) int {
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") == key {
			return i
		}
	}
	return -1
}
