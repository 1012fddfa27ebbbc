# The front door. Each target only names a script; the work is in scripts/.
.DEFAULT_GOAL := help
.PHONY: help setup build kernel run test bench rows fuzz cpu-fuzz clean

help:
	@echo "make run       build everything and run a command in a virtual machine"
	@echo "make test      build everything and run every test"
	@echo "make setup     install the Debian packages that are missing"
	@echo "make build     build/husk"
	@echo "make bench     the performance table, against QEMU"
	@echo "make kernel    the tuned guest kernel, kept in the cache"
	@echo "make rows      the feature rows and the tests that stand for them"
	@echo "make fuzz      each fuzz target for SECONDS (default 60) seconds"
	@echo "make cpu-fuzz  the software CPU against the host CPU, random code"
	@echo "make clean     remove what was built; caches outside stay"

setup:
	@scripts/setup

build:
	@scripts/build

run:
	@scripts/run

test: setup
	@scripts/test

bench:
	@scripts/setup bench
	@scripts/bench

kernel:
	@scripts/build-kernel

rows:
	@scripts/rows

fuzz:
	@scripts/fuzz

cpu-fuzz:
	@scripts/cpu-fuzz

clean:
	@scripts/clean
