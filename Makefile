# What can be done here. Every body is a plain command that may as well be typed by hand.

.DEFAULT_GOAL := help
.PHONY: help serve train test test-vm fuzz check bench images preflight soak clean tools toolchains image-tools libtorch tensorboard

help: ## Show this menu
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

serve: tools ## Build the service and run it on 127.0.0.1:8080
	cargo build --release --locked -p judge --bin assay
	exec target/release/assay serve

# Three seeds, one after the other: a learning curve needs a band. SEEDS="1" for a first look.
SEEDS ?= 1 2 3
CONFIG ?= trainer/configs/named_ops.toml
RUNS ?= runs

train: toolchains libtorch ## Watch a small transformer learn to program from rewards (about 1.5 minutes a seed)
	cargo build --release --locked -p judge -p trainer --bin assay --bin assay-train
	trainer/train.sh "$(CONFIG)" "$(RUNS)" $(SEEDS)

test: toolchains libtorch tensorboard ## Run every test, the system tests on the real kernel among them (as root)
	cargo build --workspace --bins --tests --locked
	cargo test --workspace --locked

test-vm: tools ## Run the sandbox under cgroup v2, in a virtual machine without hardware support (as root)
	tests/vm/run.sh

fuzz: tools ## Throw damaged inputs at the readers, the extractor and the comparators (FUZZ_SECONDS=60 each)
	tests/fuzz/run.sh $(FUZZ_TARGETS)

check: tools libtorch ## Check formatting, lints and documentation
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace --no-deps --document-private-items --locked

bench: toolchains ## Measure against a bare baseline of the same run
	cargo build --release --bins --locked
	cargo bench --benches --locked

soak: tools ## Press the service with 100000 submissions, hostile ones among them, and kill it meanwhile (as root)
	cargo build --release --locked -p judge --bin assay
	tests/soak.sh

images: image-tools ## Build every tested image from its recipe in images/ (as root; downloads packages)
	cargo build --release --locked -p judge --bin assay
	target/release/assay image build --all
	target/release/assay image list

preflight: tools ## Tell, layer by layer, whether this host can isolate programs
	cargo build --release --locked -p judge --bin assay
	target/release/assay preflight

clean: ## Remove what was built
	cargo clean

# What building needs.
tools:
	@for tool in cargo cc; do command -v $$tool >/dev/null || { \
		echo "$$tool is missing: install Rust from https://rustup.rs and a C compiler (apt-get install build-essential)" >&2; exit 1; }; done

# What the trainer is linked with, in a folder that git ignores; nothing else needs it.
libtorch: tools
	@command -v python3 >/dev/null && python3 -m pip --version >/dev/null 2>&1 || { \
		echo "python3 with pip is missing: apt-get install python3-pip" >&2; exit 1; }
	@python3 trainer/libtorch.py .torch

# TensorBoard itself, without what draws: a test lets it read what the trainer wrote.
tensorboard: libtorch
	@[ -e .tensorboard/complete ] || { rm -rf .tensorboard && \
		python3 -m pip install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore \
		--target .tensorboard tensorboard==2.20.0 protobuf==6.33.6 "numpy<3" absl-py==2.5.1 && \
		touch .tensorboard/complete; }

# What the tests compile and run inside the sandbox, and build an image with, as Debian packages it:
# program=package. Rust is not among them: slots show the toolchain that builds Assay itself.
TOOLCHAINS := /usr/bin/python3=python3 /usr/bin/gcc=gcc /usr/bin/g++=g++ /usr/bin/node=nodejs \
	/usr/bin/javac=default-jdk-headless /usr/bin/go=golang-go /usr/bin/umoci=umoci /usr/bin/skopeo=skopeo \
	/usr/bin/pytest-3=python3-pytest /usr/share/java/junit4.jar=junit4 \
	/usr/share/java/junit-jupiter-api.jar=junit5 /usr/bin/buildah=buildah /usr/bin/docker-registry=docker-registry \
	/usr/bin/chromium=chromium /usr/bin/chromedriver=chromium-driver \
	/usr/lib/python3/dist-packages/matplotlib=python3-matplotlib \
	/usr/lib/python3/dist-packages/ipykernel=python3-ipykernel mmdebstrap=mmdebstrap \
	/usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring

# $(1) needs packages of Debian, $(2): what is looked for=package. Root gets them installed, others are told.
define debian_packages
	@missing=''; for pair in $(2); do \
		[ -e "$${pair%%=*}" ] || command -v "$${pair%%=*}" >/dev/null || missing="$$missing $${pair#*=}"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
		echo "$(1) needs these Debian packages:$$missing" >&2; exit 1; fi; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing
endef

toolchains: tools
	$(call debian_packages,testing,$(TOOLCHAINS))

# What recipes are built with. Programs may be others than Debian's; what Python and npm packages are
# fetched by is whatever stands first in PATH.
IMAGE_TOOLS := mmdebstrap=mmdebstrap dpkg-query=dpkg unshare=util-linux python3=python3 npm=npm \
	/usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring

image-tools: tools
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { \
		echo "images are built as root, by apt and dpkg: use a Debian system, or \`assay image import\`" >&2; exit 1; }
	$(call debian_packages,building images,$(IMAGE_TOOLS))
	@python3 -m pip --version >/dev/null 2>&1 || { \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip; } && \
		python3 -m pip --version >/dev/null || { \
		echo "building images needs pip for $$(command -v python3): python3 -m ensurepip" >&2; exit 1; }
