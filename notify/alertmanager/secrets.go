package alertmanager

import (
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/tocsin/tocsin/config"
)

const (
	minSecret  = 4  // bytes; to look for a shorter one would hide half of every text
	minSegment = 16 // of an address' path, beside the whole of it
)

// redactor returns what takes the secrets of a receiver out of a text: those
// in its fields of secret types, those in its files as they are by then, and
// the paths of addresses that are secrets themselves.
func redactor(receiver any) func(string) string {
	var inline, files []string
	gather(reflect.ValueOf(receiver), &inline, &files)
	return func(text string) string {
		secrets := slices.Clone(inline)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil {
				secrets = append(secrets, strings.TrimSpace(string(b)))
			}
		}
		for _, s := range secrets {
			for _, s := range parts(s) {
				text = strings.ReplaceAll(text, s, config.Secret("").String())
			}
		}
		return text
	}
}

// parts returns the forms in which a secret shows up, the longest first.
func parts(s string) []string {
	out := []string{s, url.QueryEscape(s), url.PathEscape(s)}
	if u, err := url.Parse(s); err == nil && u.Host != "" {
		out = append(out, u.RequestURI(), u.Path, u.RawQuery)
		for segment := range strings.SplitSeq(u.Path, "/") {
			if len(segment) >= minSegment {
				out = append(out, segment)
			}
		}
	}
	out = slices.DeleteFunc(out, func(s string) bool { return len(strings.Trim(s, "/")) < minSecret })
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(out)
}

func gather(v reflect.Value, inline, files *[]string) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			gather(v.Elem(), inline, files)
		}
	case reflect.Struct:
		gatherFields(v, inline, files)
	case reflect.Slice:
		for i := range v.Len() {
			gather(v.Index(i), inline, files)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			gather(it.Value(), inline, files)
		}
	case reflect.String:
		if secret(v.Type()) && v.String() != "" {
			*inline = append(*inline, v.String())
		}
	default:
	}
}

func gatherFields(v reflect.Value, inline, files *[]string) {
	if strings.HasSuffix(v.Type().Name(), "URL") { // one that is no secret is good to know
		if u, ok := reflect.TypeAssert[*url.URL](v.Field(0)); ok && u != nil && secret(v.Type()) {
			*inline = append(*inline, u.String())
		}
		return
	}
	for f, field := range v.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case !f.IsExported():
		case strings.HasSuffix(name, "_file") && field.Kind() == reflect.String:
			if field.String() != "" {
				*files = append(*files, field.String())
			}
		default:
			gather(field, inline, files)
		}
	}
}
