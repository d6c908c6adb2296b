#!/bin/sh
# Fetch OHIF, the viewer that the node serves at /ohif, from npm into .viewer/ (50 MB, 10 s).
#   deploy/setup-viewer.sh [FOLDER]   (NO_NPM=1 leaves the machine as it is)
# Never fails: what cannot be fetched is named in one line, with what is then left out.
set -eu

version=3.13.2
changes=2 # of what is done to it below; another number fetches it anew
sha256=b189d3963bfc58e9394a9db8c7be75d07beb029ec211dbb126d47b62969dd3f1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
folder=${1:-$(dirname -- "$here")/.viewer}
stamp=$folder/version

without() {
    echo "Viewer: no OHIF ($1): it is not served, and tests of it are skipped"
    exit 0
}

if [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$version-$changes" ]; then exit 0; fi
if [ -d "$folder" ] && [ ! -e "$stamp" ] && [ -n "$(ls -A "$folder")" ]; then
    without "$folder holds something else, which would be lost: name a new folder"
fi
[ -z "${NO_NPM:-}" ] || without "NO_NPM is set"
command -v npm >/dev/null 2>&1 || without "npm is missing: apt-get install npm"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Packed, not installed: no script of the package and none of its hundreds of dependencies is run.
if ! why=$(cd "$work" && npm pack --silent --loglevel=error "@ohif/app@$version" 2>&1); then
    without "npm: $(printf '%s\n' "$why" | tail -n 1)"
fi
echo "$sha256  $work/ohif-app-$version.tgz" | sha256sum --check --status ||
    without "ohif-app-$version.tgz is not the file that was looked at: its checksum differs"
# Without ONNX models (ort/) and the microscopy viewer: 130 MB that no study here asks for.
tar -xzf "$work/ohif-app-$version.tgz" -C "$work" \
    --exclude='package/dist/ort' --exclude='package/dist/dicom-microscopy-viewer' \
    package/dist package/LICENSE
# Built to be served at /, it is served at /ohif: each of its absolute paths is made one below that.
# Its page goes without the service worker, which would keep an old viewer in browsers.
dist=$work/package/dist
sed -i 's|__webpack_require__\.p = "/";|__webpack_require__.p = "/ohif/";|' "$dist"/*.js
sed -i 's|url(/|url(/ohif/|g' "$dist"/*.css
sed -i 's|"/assets/|"/ohif/assets/|g' "$dist/manifest.json"
sed -i -e 's|<script[^>]*init-service-worker[^>]*></script>||' -e 's|PUBLIC_URL="/"|PUBLIC_URL="/ohif/"|g' \
    -e 's#\(src\|href\|content\)="/#\1="/ohif/#g' "$dist/index.html"
rm -f "$dist/sw.js" "$dist/init-service-worker.js" "$dist/_headers" "$dist/_redirects"
rm -rf "$folder"
mv "$work/package/dist" "$folder"
mv "$work/package/LICENSE" "$folder/LICENSE"
echo "$version-$changes" >"$stamp"
