// Package keymap is the contract about keyboard layouts between the build, which makes them of Debian's, and dom0,
// which loads one: their names, and the form of the file that they are in.
package keymap

import "slices"

// Source is where a layout comes from: a keymap of Debian's package console-data.
type Source struct {
	Name    string // of the layout
	Path    string // below /usr/share/keymaps/i386, without ".kmap.gz"
	Charset string // of the keymap, where it does not say itself; "" for its own, else ISO 8859-1
}

// Sources are the layouts. The first one is what the kernel has by itself, to which all others are compared.
var Sources = []Source{
	{Name: "us", Path: "qwerty/us"},
	{Name: "us-intl", Path: "qwerty/us-intl.iso01"},
	{Name: "ansi-dvorak", Path: "dvorak/ANSI-dvorak"},
	{Name: "be-latin1", Path: "azerty/be-latin1"},
	{Name: "br-abnt2", Path: "qwerty/br-abnt2"},
	{Name: "by", Path: "qwerty/by"},
	{Name: "ca-multi", Path: "qwerty/ca-multi"},
	{Name: "cf", Path: "qwerty/cf"},
	{Name: "croat", Path: "qwertz/croat"},
	{Name: "cz-lat2", Path: "qwerty/cz-lat2"},
	{Name: "cz-us-qwertz", Path: "qwertz/cz-us-qwertz"},
	{Name: "de-latin1", Path: "qwertz/de-latin1"},
	{Name: "de-latin1-nodeadkeys", Path: "qwertz/de-latin1-nodeadkeys"},
	{Name: "dk-latin1", Path: "qwerty/dk-latin1"},
	{Name: "dvorak", Path: "dvorak/dvorak"},
	{Name: "es", Path: "qwerty/es"},
	{Name: "et", Path: "qwerty/et"},
	{Name: "fi-latin1", Path: "qwerty/fi-latin1"},
	{Name: "fr-latin1", Path: "azerty/fr-latin1"},
	{Name: "fr-latin9", Path: "azerty/fr-latin9"},
	{Name: "fr_CH-latin1", Path: "qwertz/fr_CH-latin1"},
	{Name: "gr", Path: "qwerty/gr"},
	{Name: "hu", Path: "qwertz/hu"},
	{Name: "il", Path: "qwerty/il"},
	{Name: "is-latin1", Path: "qwerty/is-latin1"},
	{Name: "it", Path: "qwerty/it"},
	{Name: "jp106", Path: "qwerty/jp106"},
	{Name: "la-latin1", Path: "qwerty/la-latin1"},
	{Name: "lt", Path: "qwerty/lt"},
	{Name: "lv-latin4", Path: "qwerty/lv-latin4"},
	{Name: "mk", Path: "qwerty/mk"},
	{Name: "nl", Path: "qwerty/nl"},
	{Name: "no-latin1", Path: "qwerty/no-latin1"},
	{Name: "pl", Path: "qwerty/pl"},
	{Name: "pt-latin1", Path: "qwerty/pt-latin1"},
	{Name: "ro", Path: "qwerty/ro-academic"},
	{Name: "ru", Path: "qwerty/ru", Charset: "koi8-r"},
	{Name: "se-latin1", Path: "qwerty/se-latin1"},
	{Name: "sg-latin1", Path: "qwertz/sg-latin1"},
	{Name: "sk-qwerty", Path: "qwerty/sk-qwerty"},
	{Name: "sk-qwertz", Path: "qwertz/sk-qwertz"},
	{Name: "slovene", Path: "qwertz/slovene"},
	{Name: "sr", Path: "qwertz/sr"},
	{Name: "trf", Path: "fgGIod/trf"},
	{Name: "trq", Path: "qwerty/trq"},
	{Name: "ua", Path: "qwerty/ua-utf"},
	{Name: "uk", Path: "qwerty/uk"},
}

// aliases are other names of layouts: those of X's, which are mostly countries, and those that other systems have.
var aliases = map[string]string{
	"at":            "de-latin1",
	"be":            "be-latin1",
	"be2-latin1":    "be-latin1",
	"br":            "br-abnt2",
	"br-latin1":     "br-abnt2",
	"ca":            "cf",
	"ca-fr":         "cf",
	"ch":            "sg-latin1",
	"ch-fr":         "fr_CH-latin1",
	"cz":            "cz-us-qwertz",
	"cz-qwerty":     "cz-lat2",
	"cz-qwertz":     "cz-us-qwertz",
	"de":            "de-latin1",
	"de-nodeadkeys": "de-latin1-nodeadkeys",
	"de_CH":         "sg-latin1",
	"de_CH-latin1":  "sg-latin1",
	"dk":            "dk-latin1",
	"ee":            "et",
	"fi":            "fi-latin1",
	"fr":            "fr-latin9",
	"fr-pc":         "fr-latin1",
	"fr_CH":         "fr_CH-latin1",
	"gb":            "uk",
	"hr":            "croat",
	"is":            "is-latin1",
	"jp":            "jp106",
	"la":            "la-latin1",
	"latam":         "la-latin1",
	"lv":            "lv-latin4",
	"no":            "no-latin1",
	"pl2":           "pl",
	"pt":            "pt-latin1",
	"rs":            "sr",
	"se":            "se-latin1",
	"sg":            "sg-latin1",
	"si":            "slovene",
	"sk":            "sk-qwertz",
	"sr-latin":      "sr",
	"sv-latin1":     "se-latin1",
	"tr":            "trq",
	"tr_f-latin5":   "trf",
	"tr_q-latin5":   "trq",
	"ua-utf":        "ua",
	"us-acentos":    "us-intl",
	"us-latin1":     "us-intl",
}

// Names are all names that a layout can be given by, sorted.
func Names() []string {
	var names []string
	for _, s := range Sources {
		names = append(names, s.Name)
	}
	for alias := range aliases {
		names = append(names, alias)
	}
	slices.Sort(names)
	return names
}

// Layout is the layout's own name, "" where there is none of that name.
func Layout(name string) string {
	if other, ok := aliases[name]; ok {
		return other
	}
	if slices.ContainsFunc(Sources, func(s Source) bool { return s.Name == name }) {
		return name
	}
	return ""
}
