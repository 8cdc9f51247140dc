//! Functions that give the same for the same arguments, whenever and wherever they run.
//!
//! These are lists of what is allowed: what is in none of them, say a function of a later Helm, is not pure. On purpose
//! missing are `date`, `htmlDate` and their like, which take an argument that is no date as now, `durationRound` and
//! `ago`, which count until now, and `toDate`, which depends on the machine's time zone.

/// Whether a function of Helm's templates is pure.
pub fn is_pure_in_chart(name: &str) -> bool {
    is_in(&[GO, SPRIG, HELM], name)
}

/// Whether a function of helmfile's templates is pure.
pub fn is_pure_in_helmfile(name: &str) -> bool {
    is_in(&[GO, SPRIG, HELMFILE], name)
}

/// Whether it is known that a function is not pure, of Helm's or of helmfile's templates. Anything else may be no function
/// at all: braces have a meaning in many languages.
pub fn is_impure(name: &str) -> bool {
    is_in(&[IMPURE], name)
}

fn is_in(lists: &[&[&str]], name: &str) -> bool {
    lists.iter().any(|list| list.contains(&name))
}

/// Go's own.
const GO: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print",
    "printf", "println", "slice", "urlquery",
];

/// Sprig's. `keys` and `values` come in any order, and any of them is as right as the one that was delivered.
const SPRIG: &[&str] = &[
    "abbrev",
    "abbrevboth",
    "add",
    "add1",
    "add1f",
    "addf",
    "adler32sum",
    "all",
    "any",
    "append",
    "atoi",
    "b32dec",
    "b32enc",
    "b64dec",
    "b64enc",
    "base",
    "biggest",
    "buildCustomCert",
    "camelcase",
    "cat",
    "ceil",
    "chunk",
    "clean",
    "coalesce",
    "compact",
    "concat",
    "contains",
    "dateModify",
    "date_modify",
    "decryptAES",
    "deepCopy",
    "deepEqual",
    "default",
    "derivePassword",
    "dict",
    "dig",
    "dir",
    "div",
    "divf",
    "duration",
    "empty",
    "ext",
    "fail",
    "first",
    "float64",
    "floor",
    "fromJson",
    "get",
    "has",
    "hasKey",
    "hasPrefix",
    "hasSuffix",
    "hello",
    "indent",
    "initial",
    "initials",
    "int",
    "int64",
    "isAbs",
    "join",
    "kebabcase",
    "keys",
    "kindIs",
    "kindOf",
    "last",
    "list",
    "lower",
    "max",
    "maxf",
    "merge",
    "mergeOverwrite",
    "min",
    "minf",
    "mod",
    "mul",
    "mulf",
    "mustAppend",
    "mustChunk",
    "mustCompact",
    "mustDateModify",
    "mustDeepCopy",
    "mustFirst",
    "mustFromJson",
    "mustHas",
    "mustInitial",
    "mustLast",
    "mustMerge",
    "mustMergeOverwrite",
    "mustPrepend",
    "mustPush",
    "mustRegexFind",
    "mustRegexFindAll",
    "mustRegexMatch",
    "mustRegexReplaceAll",
    "mustRegexReplaceAllLiteral",
    "mustRegexSplit",
    "mustRest",
    "mustReverse",
    "mustSlice",
    "mustToJson",
    "mustToPrettyJson",
    "mustToRawJson",
    "mustUniq",
    "mustWithout",
    "must_date_modify",
    "nindent",
    "nospace",
    "omit",
    "osBase",
    "osClean",
    "osDir",
    "osExt",
    "osIsAbs",
    "pick",
    "pluck",
    "plural",
    "prepend",
    "push",
    "quote",
    "regexFind",
    "regexFindAll",
    "regexMatch",
    "regexQuoteMeta",
    "regexReplaceAll",
    "regexReplaceAllLiteral",
    "regexSplit",
    "repeat",
    "replace",
    "rest",
    "reverse",
    "round",
    "semver",
    "semverCompare",
    "seq",
    "set",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "snakecase",
    "sortAlpha",
    "split",
    "splitList",
    "splitn",
    "squote",
    "sub",
    "subf",
    "substr",
    "swapcase",
    "ternary",
    "title",
    "toDecimal",
    "toJson",
    "toPrettyJson",
    "toRawJson",
    "toString",
    "toStrings",
    "trim",
    "trimAll",
    "trimPrefix",
    "trimSuffix",
    "trimall",
    "trunc",
    "tuple",
    "typeIs",
    "typeIsLike",
    "typeOf",
    "uniq",
    "unixEpoch",
    "unset",
    "until",
    "untilStep",
    "untitle",
    "upper",
    "urlJoin",
    "urlParse",
    "values",
    "without",
    "wrap",
    "wrapWith",
];

/// Helm's.
const HELM: &[&str] = &[
    "fromJsonArray",
    "fromToml",
    "fromYaml",
    "fromYamlArray",
    "include",
    "mustToToml",
    "mustToYaml",
    "required",
    "toToml",
    "toYaml",
    "toYamlPretty",
    "tpl",
];

/// Helmfile's. Those that read files and the environment are looked at with their arguments.
const HELMFILE: &[&str] =
    &["fromYaml", "getOrNil", "include", "required", "setValueAtPath", "sprigGet", "toYaml", "tpl"];

/// All others of Go 1.26, sprig 3.3, Helm 4.2 and helmfile 1.7.
const IMPURE: &[&str] = &[
    "ago",
    "bcrypt",
    "date",
    "dateInZone",
    "date_in_zone",
    "durationRound",
    "encryptAES",
    "env",
    "envExec",
    "exec",
    "expandSecretRefs",
    "expandenv",
    "fetchSecretValue",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "isDir",
    "isFile",
    "lookup",
    "mustToDate",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "readDir",
    "readDirEntries",
    "readFile",
    "requiredEnv",
    "shuffle",
    "toDate",
    "uuidv4",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// What `sprig.FuncMap` of 3.3.0 has.
    const SPRIG_3_3: &str = "hello ago date date_in_zone date_modify dateInZone dateModify duration durationRound htmlDate htmlDateInZone must_date_modify mustDateModify mustToDate now toDate unixEpoch abbrev abbrevboth trunc trim upper lower title untitle substr repeat trimall trimAll trimSuffix trimPrefix nospace initials randAlphaNum randAlpha randAscii randNumeric swapcase shuffle snakecase camelcase kebabcase wrap wrapWith contains hasPrefix hasSuffix quote squote cat indent nindent replace plural sha1sum sha256sum sha512sum adler32sum toString atoi int64 int float64 seq toDecimal split splitList splitn toStrings until untilStep add1 add sub div mod mul randInt add1f addf subf divf mulf biggest max min maxf minf ceil floor round join sortAlpha default empty coalesce all any compact mustCompact fromJson toJson toPrettyJson toRawJson mustFromJson mustToJson mustToPrettyJson mustToRawJson ternary deepCopy mustDeepCopy typeOf typeIs typeIsLike kindOf kindIs deepEqual env expandenv getHostByName base dir clean ext isAbs osBase osClean osDir osExt osIsAbs b64enc b64dec b32enc b32dec tuple list dict get set unset hasKey pluck keys pick omit merge mergeOverwrite mustMerge mustMergeOverwrite values append push mustAppend mustPush prepend mustPrepend first mustFirst rest mustRest last mustLast initial mustInitial reverse mustReverse uniq mustUniq without mustWithout has mustHas slice mustSlice concat dig chunk mustChunk bcrypt htpasswd genPrivateKey derivePassword buildCustomCert genCA genCAWithKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey encryptAES decryptAES randBytes uuidv4 semver semverCompare fail regexMatch mustRegexMatch regexFindAll mustRegexFindAll regexFind mustRegexFind regexReplaceAll mustRegexReplaceAll regexReplaceAllLiteral mustRegexReplaceAllLiteral regexSplit mustRegexSplit regexQuoteMeta urlParse urlJoin";

    #[test]
    fn each_function_is_in_one_list() {
        for name in SPRIG_3_3.split(' ') {
            assert!(is_pure_in_chart(name) != is_impure(name), "{name}");
            assert!(is_pure_in_helmfile(name) != is_impure(name), "{name}");
        }
        for name in GO.iter().chain(HELM).chain(HELMFILE) {
            assert!(!is_impure(name), "{name}");
        }
    }

    #[test]
    fn nothing_random_timed_or_outside_is_pure() {
        for name in SPRIG_3_3.split(' ').chain(["lookup", "exec", "readFile", "requiredEnv", "unknown", ""]) {
            let suspicious = [
                "rand", "gen", "now", "Date", "date", "env", "uuid", "Host", "lookup", "exec", "read", "Env",
            ];
            let is_date_given =
                ["dateModify", "date_modify", "mustDateModify", "must_date_modify"].contains(&name);
            if suspicious.iter().any(|part| name.contains(part)) && !is_date_given {
                assert!(!is_pure_in_chart(name) && !is_pure_in_helmfile(name), "{name}");
            }
        }
        assert!(
            !is_pure_in_chart("getHostByName") && !is_pure_in_chart("unheardOf") && !is_pure_in_chart("")
        );
    }
}
