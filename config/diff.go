package config

import (
	"reflect"
	"strconv"
)

// Diff names what two configs differ in, by the paths of the keys, in the order of
// the structs. It never shows a value.
func Diff(a, b *Config) (paths []string) {
	diff(reflect.ValueOf(*a), reflect.ValueOf(*b), "", func(p string) { paths = append(paths, p) })
	return paths
}

func diff(a, b reflect.Value, path string, found func(string)) {
	switch {
	case a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() && hasKeys(a.Type().Elem()):
		diff(a.Elem(), b.Elem(), path, found)
	case a.Kind() == reflect.Struct && hasKeys(a.Type()):
		for i := range a.NumField() {
			key := a.Type().Field(i).Tag.Get("yaml")
			if key == "" {
				continue
			}
			if path != "" {
				key = path + "." + key
			}
			diff(a.Field(i), b.Field(i), key, found)
		}
	case a.Kind() == reflect.Slice && a.Len() == b.Len() && a.IsNil() == b.IsNil():
		for i := range a.Len() {
			diff(a.Index(i), b.Index(i), path+"["+strconv.Itoa(i)+"]", found)
		}
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		found(path)
	}
}

// hasKeys reports whether a type is a mapping of the file.
func hasKeys(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") != "" {
			return true
		}
	}
	return false
}

// KeyPaths lists every key of a file, such as "session.redis.tls.ca_file"; those of list
// entries have "[]" behind the list.
func KeyPaths() (all []string) {
	keys(reflect.TypeFor[Config](), "", func(p string) { all = append(all, p) })
	return all
}

func keys(t reflect.Type, path string, found func(string)) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && hasKeys(elem(t)) {
		if t.Kind() == reflect.Slice {
			path += "[]"
		}
		t = t.Elem()
	}
	if !hasKeys(t) {
		found(path)
		return
	}
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("yaml"); key != "" && path == "" {
			keys(t.Field(i).Type, key, found)
		} else if key != "" {
			keys(t.Field(i).Type, path+"."+key, found)
		}
	}
}

func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}
