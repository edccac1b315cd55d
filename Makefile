# `make demo` shows what hardy does; `make test` is what guards main; `make bench` measures.
# Each installs what it needs (with apt-get where that exists) and is safe to run twice.

CARGO  ?= cargo
PREFIX ?= /usr/local
HARDY  := target/release/hardy
HOST    = $(shell rustc -vV | sed -n 's/host: //p')

# etcd's interface is compiled from its definition.
BUILDS := cc:build-essential protoc:protobuf-compiler /usr/include/google/protobuf/descriptor.proto:libprotobuf-dev

.PHONY: help demo build test soak fuzz install bench pages deny

help:
	@echo 'make demo       build the release binary and run the story: a server fails, a breaker copes; a lock'
	@echo 'make test       formatting, lints, docs, unit tests, black-box tests, man pages, completions'
	@echo 'make soak       locks under random kills and stops; 64 processes on one breaker; breakers in 100000 schedules; SEED=N repeats the faults'
	@echo 'make fuzz       garbage for the readers of answers: HTTP/1.1, TLS; SECONDS=N says for how long each'
	@echo 'make bench      ratios against the tools that one would use instead'
	@echo 'make install    binary, man pages and completions below PREFIX ($(PREFIX))'
	@echo 'make pages      write man/ and completions/ anew after a change of the command line'
	@echo 'make deny       licences and sources of all dependencies (needs cargo-deny)'

build:
	@tests/setup/install $(BUILDS)
	$(CARGO) build --release --locked

demo: build
	@tests/demo $(HARDY)

test:
	@tests/setup/install $(BUILDS) curl openssl ps:procps zsh fish mandoc \
		etcd:etcd-server etcdctl:etcd-client ip:iproute2 faketime:faketime strace:strace \
		go:golang-go /usr/share/gocode/src/go.etcd.io/etcd:golang-etcd-server-dev python3 pip3:python3-pip \
		sslscan testssl:testssl.sh setpriv:util-linux nginx:nginx-light redis-server dnsmasq:dnsmasq-base \
		/usr/lib/postfix/sbin/master:postfix '/usr/lib/postgresql/*/bin/postgres:postgresql' \
		/usr/lib/dovecot/imap-login:dovecot-imapd /usr/lib/dovecot/pop3-login:dovecot-pop3d \
		/usr/lib/dovecot/submission-login:dovecot-submissiond \
		mariadbd:mariadb-server-core slapd vsftpd prosody
	@tests/setup/etcd-3.5
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' $(CARGO) doc --locked --no-deps --document-private-items --quiet
	$(CARGO) test --locked

# A quarter of an hour, after the build.
soak:
	@tests/setup/install $(BUILDS) etcd:etcd-server etcdctl:etcd-client
	HARDY_SOAK_ACQUISITIONS=10000 $(if $(SEED),HARDY_SOAK_SEED=$(SEED)) \
		$(CARGO) test --locked --profile soak --test cli -- lock::soak --nocapture --test-threads 1
	HARDY_SOAK_HAMMER=60 $(CARGO) test --locked --profile soak --test cli -- breaker::hammer --nocapture --test-threads 1
	HARDY_SOAK_SCHEDULES=100000 $(CARGO) test --locked --profile soak --lib -- breaker::tests::schedule circuit::tests::whatever

bench:
	@tests/setup/install $(BUILDS) wrk nginx:nginx-light go:golang-go etcdctl:etcd-client etcd:etcd-server taskset:util-linux \
		h2load:nghttp2-client hey parallel:parallel xargs:findutils openssl sslscan testssl:testssl.sh
	$(CARGO) bench --locked --bench breaker -- --noplot
	$(CARGO) bench --locked --bench peers

# Needs no nightly toolchain: coverage without sanitizers is enough, since no reader has unsafe code. No reader may
# take more than 64 MiB; the fuzzer itself has some 30 of them.
FUZZ := -max_total_time=$(or $(SECONDS),60) -rss_limit_mb=64
fuzz:
	@tests/setup/install $(BUILDS)
	RUSTFLAGS='--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1' \
		$(CARGO) build --release --manifest-path fuzz/Cargo.toml --target $(HOST)
	mkdir -p fuzz/corpus/http1_answer fuzz/corpus/tls_flight
	cd fuzz && target/$(HOST)/release/http1_answer $(FUZZ) corpus/http1_answer
	cd fuzz && target/$(HOST)/release/tls_flight $(FUZZ) corpus/tls_flight ../src/tls/hello/recorded

install: build
	install -Dm755 $(HARDY) $(DESTDIR)$(PREFIX)/bin/hardy
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	install -m644 man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -Dm644 completions/hardy.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/hardy
	install -Dm644 completions/_hardy $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_hardy
	install -Dm644 completions/hardy.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/hardy.fish

pages:
	$(CARGO) build --locked
	rm -rf man completions && mkdir completions
	target/debug/hardy man --dir man
	target/debug/hardy completions bash >completions/hardy.bash
	target/debug/hardy completions zsh >completions/_hardy
	target/debug/hardy completions fish >completions/hardy.fish
	target/debug/hardy completions elvish >completions/hardy.elv
	target/debug/hardy completions powershell >completions/_hardy.ps1

deny:
	$(CARGO) deny check licenses bans sources
