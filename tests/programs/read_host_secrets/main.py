import os

PATHS = ["/etc/shadow", "/etc/gshadow", "/root/.ssh/id_rsa", "/root/.bash_history", "/root/.cargo/credentials",
         "/etc/sudoers", "/var/run/docker.sock", "/run/assay", "/var/run/secrets", "/etc/ssh/ssh_host_rsa_key",
         "/home", "/root", "/var/log", "/var/lib", "/run/systemd", "/proc/1/root/etc/shadow"]

for path in PATHS:
    try:
        found = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1)
    except OSError:
        continue
    if found:
        print("ESCAPED", path)
print("REFUSED")
