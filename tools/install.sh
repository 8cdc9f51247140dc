#!/bin/sh
# Builds the real programs that the tests and the demo run, at the versions of
# versions.env, from the pinned modules in go/, into a folder of this user.
set -eu

usage="usage: tools/install.sh [PROGRAM...]   build all programs, or only these
       tools/install.sh --bin          print the folder that holds them all
       tools/install.sh --update       write go/* anew after a change of versions.env"
programs="etcd kube-apiserver kube-controller-manager kubectl helm kustomize helmfile sops age age-keygen"
families="etcd kubernetes helm kustomize helmfile sops age"

say() { printf '%s\n' "$*" >&2; }
die() { say "tools/install.sh: $*"; exit 1; }

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"

root=${HELMFILE_OPERATOR_TOOLS:-${XDG_CACHE_HOME:-${HOME-}/.cache}/helmfile-operator/tools}
case $root in /*) ;; *) root=$PWD/$root ;; esac
digest=$({ sha256sum 2>/dev/null || shasum -a 256; } <"$here/versions.env" | cut -c1-12)
bin=$root/sets/$digest/bin

# recipe PROGRAM: how it is built. Sets family (a folder of go/), version,
# module, package and stamps (linker flags that tell it its version).
recipe() {
    stamps=
    case $1 in
    etcd) family=etcd version=$ETCD_VERSION
        module=go.etcd.io/etcd/server/v3 package=$module ;;
    kube-apiserver | kube-controller-manager | kubectl) family=kubernetes version=$KUBERNETES_VERSION
        module=k8s.io/kubernetes package=$module/cmd/$1
        minor=${version#v1.} minor=${minor%%.*}
        for p in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
            stamps="$stamps -X $p.gitVersion=$version -X $p.gitMajor=1 -X $p.gitMinor=$minor"
        done ;;
    helm) family=helm version=$HELM_VERSION
        module=helm.sh/helm/v4 package=$module/cmd/helm
        stamps=" -X $module/internal/version.version=$version" ;;
    kustomize) family=kustomize version=$KUSTOMIZE_VERSION
        module=sigs.k8s.io/kustomize/kustomize/v5 package=$module ;;
    helmfile) family=helmfile version=$HELMFILE_VERSION
        module=github.com/helmfile/helmfile package=$module
        stamps=" -X go.szostok.io/version.version=$version" ;;
    sops) family=sops version=$SOPS_VERSION
        module=github.com/getsops/sops/v3 package=$module/cmd/sops
        stamps=" -X $module/version.Version=${version#v}" ;;
    age | age-keygen) family=age version=$AGE_VERSION
        module=filippo.io/age package=$module/cmd/$1
        stamps=" -X main.Version=$version" ;;
    *) die "there is no program '$1'; there are: $programs" ;;
    esac
}

# The newest Go that any go.mod asks for; never a toolchain that go downloads.
need_go() {
    need=$(cat "$here"/go/*/go.mod | sed -n 's/^go //p' | sort -t. -k1,1n -k2,2n -k3,3n | tail -n 1)
    get="Debian's package golang or a release from https://go.dev/dl/ will do if it is as new; put its go on PATH"
    command -v go >/dev/null || die "building the programs needs Go $need or newer, but no go is on PATH. $get."
    export GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
    unset GOOS GOARCH
    have=$(cd / && go version | sed -n 's/.* go\([0-9][0-9.]*\).*/\1/p')
    printf '%s\n' "$need" "${have:-0}" | sort -c -t. -k1,1n -k2,2n -k3,3n 2>/dev/null ||
        die "building the programs needs Go $need or newer, but the go on PATH is ${have:-of no known version}. $get."
}

check_modules() {
    for program in $programs; do
        recipe "$program"
        mod=$here/go/$family/go.mod
        if ! grep -Eq "^(require )?[[:space:]]*$module $version( |\$)" "$mod" ||
            { [ "$family" = kubernetes ] && grep '=> k8s\.io/' "$mod" | grep -qv " v0${version#v1}\$"; }; then
            die "tools/go/$family/go.mod is not at $family $version as tools/versions.env says;" \
                "run \`tools/install.sh --update\` and commit what it changes."
        fi
    done
}

# Writes every go.mod anew: its programs, and the replace lines of their module,
# because Go ignores those of a dependency. What kubernetes takes from ./staging
# is published as v0.MINOR.PATCH; the folders of others need no line.
update() {
    need_go
    for wanted in $families; do
        mkdir -p "$here/go/$wanted" && cd "$here/go/$wanted"
        printf '%s\n' '// Written by tools/install.sh --update.' "module tools.invalid/$wanted" 'go 1.26.0' >go.mod
        for program in $programs; do
            recipe "$program"
            [ "$family" = "$wanted" ] || continue
            go mod edit -require="$module@$version" -tool="$package"
            source=$module@$version
        done
        theirs=$(cd / && go list -m -f '{{.GoMod}}' "$source")
        replaced=$(sed 's/^replace //' "$theirs" | awk -v published="v0${source##*@v1}" '
            / => \.\/staging\// { print $1, "=>", $1, published }
            / => [^.]/')
        [ -z "$replaced" ] || printf 'replace (\n%s\n)\n' "$replaced" >>go.mod
        go mod tidy
    done
}

# build PROGRAM FILE: elsewhere first, so that FILE is whole or not there.
build() {
    (cd "$here/go/$family" && GOTMPDIR=$work go build -mod=readonly -trimpath -buildvcs=false \
        -ldflags "-s -w$stamps" -o "$work/$1" "$package") >"$work/log" 2>&1 9>&- || {
        say failed
        tail -n 15 "$work/log" >&2
        die "$1 $version was not built; above is what go said. If it could not download a module," \
            "set GOPROXY (and GOFLAGS, GOSUMDB) to what this machine may use."
    }
    mkdir -p "$(dirname "$2")"
    mv -f "$work/$1" "$2"
}

install() {
    for program; do recipe "$program"; done # refuses an unknown name
    check_modules
    mkdir -p "$bin"
    if command -v flock >/dev/null; then
        exec 9<"$root"
        flock -n 9 || { say "another install is at work; waiting for it"; flock 9; }
        rm -rf "$root"/.work.* # of installs that were killed
    fi
    work=$(mktemp -d "$root/.work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' HUP INT TERM
    begin=$(date +%s)
    for program; do
        recipe "$program"
        file=$root/$program/$version/$program
        [ -x "$file" ] || need_go
        printf '%-23s %-9s ' "$program" "$version" >&2
        if [ -x "$file" ]; then say "already there"; else
            since=$(date +%s)
            build "$program" "$file"
            printf '%5d s\n' $(($(date +%s) - since)) >&2
        fi
        link=../../../$program/$version/$program
        [ "$(readlink "$bin/$program")" = "$link" ] || ln -sf "$link" "$bin/$program"
    done
    printf '%-33s %5d s\n' total $(($(date +%s) - begin)) >&2
}

case ${1-} in
--bin) # what the tests call: it looks at the links only and takes milliseconds
    for program in $programs; do
        [ -x "$bin/$program" ] || die "$program is not installed; run \`make tools\`"
    done
    printf '%s\n' "$bin" ;;
--update) update ;;
-*) say "$usage"; exit 2 ;;
*)
    # shellcheck disable=SC2086 # a list of words
    [ $# -gt 0 ] || set -- $programs
    install "$@" ;;
esac
