#!/usr/bin/env python3
"""Install the part of LibTorch that the trainer is built and run with.

usage: trainer/libtorch.py FOLDER

The three wheels come from the package index that pip is set up with; of their 1.2 GB only the CPU
libraries, the headers and two small CUDA libraries that the CPU library itself is linked with are
kept, in the layout of site-packages, because the libraries find each other by relative paths. On a
machine with a GPU the trainer opens the CUDA half of an installed torch at run time instead.
"""

import fnmatch
import pathlib
import shutil
import subprocess
import sys
import zipfile

WHEELS = ["torch==2.11.0", "nvidia-cuda-runtime==13.0.96", "nvidia-cuda-cupti==13.0.85"]
KEEP = [
    "torch/include/*",
    "torch/version.py",
    "torch/lib/libtorch_cpu.so*",
    "torch/lib/libtorch.so*",
    "torch/lib/libc10.so*",
    "torch/lib/libgomp*",
    "torch/lib/libshm.so*",
    "torch/lib/libtorch_global_deps.so*",
    "nvidia/cu13/lib/libcudart.so.13",
    "nvidia/cu13/lib/libcupti.so.13",
    "*.dist-info/licenses/*",
    "*.dist-info/LICENSE*",
]
COMPLETE = "complete.txt"


def download(folder):
    """The wheels for x86-64 Linux; which Python they are for does not matter, it is not used."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", "3.11"]
    for glibc in ("2_28", "2_25", "2_24", "2_17"):
        command += ["--platform", f"manylinux_{glibc}_x86_64"]
    command += ["--platform", "manylinux2014_x86_64", "--dest", str(folder), *WHEELS]
    subprocess.run(command, check=True)
    return sorted(folder.glob("*.whl"))


def unpack(wheel, folder):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in KEEP):
                archive.extract(name, folder)


def main():
    folder = pathlib.Path(sys.argv[1])
    wanted = "\n".join(WHEELS) + "\n"
    marker = folder / COMPLETE
    if marker.is_file() and marker.read_text() == wanted:
        return
    print(f"installing LibTorch into {folder} (about 600 MB to download, 500 MB kept)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    wheels = folder / "wheels"
    wheels.mkdir(parents=True)
    found = download(wheels)
    if len(found) != len(WHEELS):
        sys.exit(f"expected {len(WHEELS)} wheels, found {[wheel.name for wheel in found]}")
    for wheel in found:
        unpack(wheel, folder)
    shutil.rmtree(wheels)
    marker.write_text(wanted)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main()
