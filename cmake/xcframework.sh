#!/usr/bin/env bash
# xcframework.sh SOURCES: on a Mac with Xcode and CMake, builds elver as build/CElver.xcframework for macOS, iOS and the iOS
# simulator; Package.swift takes it from there. SOURCES holds the source trees of what elver links: zstd, pcre2, utf8proc
# (release archives, unpacked under these names). Header-only dependencies are downloaded, or found where CMake looks.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
sources=${1:?usage: cmake/xcframework.sh SOURCES}
sources=$(cd "$sources" && pwd)
work=$root/build/apple
[ "$(uname)" = Darwin ] || { echo "xcframework.sh: expected macOS, found $(uname)"; exit 1; }
for name in zstd pcre2 utf8proc; do
    [ -d "$sources/$name" ] || { echo "xcframework.sh: $sources/$name: no such folder"; exit 1; }
done

# build FOLDER SDK ARCHITECTURE TARGET SOURCE OPTIONS...: one CMake project, static, installed to FOLDER/prefix.
build() {
    local folder=$1 sdk=$2 architecture=$3 target=$4 source=$5 system=Darwin
    shift 5
    [ "$sdk" = macosx ] || system=iOS
    cmake -S "$source" -B "$folder/$(basename "$source")" -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=$system \
        -DCMAKE_SYSTEM_PROCESSOR="$architecture" -DCMAKE_OSX_SYSROOT="$sdk" -DCMAKE_OSX_ARCHITECTURES="$architecture" \
        -DCMAKE_OSX_DEPLOYMENT_TARGET="$target" -DCMAKE_INSTALL_PREFIX="$folder/prefix" \
        -DCMAKE_FIND_ROOT_PATH="$folder/prefix" -DCMAKE_PREFIX_PATH="$folder/prefix" -DBUILD_SHARED_LIBS=OFF "$@"
    cmake --build "$folder/$(basename "$source")" --parallel
}

# slice SDK ARCHITECTURE TARGET: everything for one processor of one platform, as FOLDER/libelver.a.
slice() {
    local folder=$work/$1-$2
    build "$folder" "$@" "$sources/zstd/build/cmake" -DZSTD_BUILD_PROGRAMS=OFF -DZSTD_BUILD_SHARED=OFF
    cmake --install "$folder/cmake"
    build "$folder" "$@" "$sources/pcre2" -DPCRE2_BUILD_PCRE2GREP=OFF -DPCRE2_BUILD_TESTS=OFF
    cmake --install "$folder/pcre2"
    build "$folder" "$@" "$sources/utf8proc"
    cmake --install "$folder/utf8proc"
    build "$folder" "$@" "$root" -DELVER_PROGRAM=OFF -DELVER_INSTALL=OFF -DELVER_FETCH_DEPENDENCIES=ON
    # The rooms, the C ABI and what they link, each object once, as one archive.
    libtool -static -o "$folder/libelver.a" "$folder/$(basename "$root")/lib/libelver_static.a" "$folder"/prefix/lib/*.a
}

slice macosx arm64 14.0
slice macosx x86_64 14.0
slice iphoneos arm64 17.0
slice iphonesimulator arm64 17.0
slice iphonesimulator x86_64 17.0
for sdk in macosx iphonesimulator; do
    mkdir -p "$work/$sdk"
    lipo -create "$work/$sdk-arm64/libelver.a" "$work/$sdk-x86_64/libelver.a" -output "$work/$sdk/libelver.a"
done

rm -rf "$work/headers" "$root/build/CElver.xcframework"
mkdir -p "$work/headers"
cp -R "$root/include/elver" "$root/bindings/swift/CElver/celver.h" "$work/headers"
sed 's/link "elver"/link "c++"/' "$root/bindings/swift/CElver/module.modulemap" >"$work/headers/module.modulemap"
xcodebuild -create-xcframework -output "$root/build/CElver.xcframework" \
    -library "$work/macosx/libelver.a" -headers "$work/headers" \
    -library "$work/iphoneos-arm64/libelver.a" -headers "$work/headers" \
    -library "$work/iphonesimulator/libelver.a" -headers "$work/headers"
