#!/bin/bash
# The WordPress scenario; see README.md. run.sh [CASE...], with the cases named, link, container and overlay; all of them when none is given.
#   RPOD  the program (default rpod)    DIR  where everything is kept (default /var/tmp/rpod-wordpress)    PORT  to publish on (default a free one)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
RPOD=${RPOD:-rpod} DIR=${DIR:-/var/tmp/rpod-wordpress}
free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
PORT=${PORT:-$(free_port)}
mkdir -p "$DIR/screenshots" "$DIR/home"
export RPOD_ROOT=$DIR/root RPOD_STATE=$DIR/state RPOD_RUNTIME=$DIR/run HOME=$DIR/home TMPDIR=$DIR

DATABASE=(-e MARIADB_DATABASE=wordpress -e MARIADB_USER=author -e MARIADB_PASSWORD=sesame)
SITE=(-e WORDPRESS_DB_NAME=wordpress -e WORDPRESS_DB_USER=author -e WORDPRESS_DB_PASSWORD=sesame)

# A step, shown.
rpod() {
    echo "+ rpod $*" >&2
    command "$RPOD" "$@"
}

# A step on another host: a store, state and netkeeper of its own, which takes images from this one's.
far() {
    echo "+ far rpod $*" >&2
    RPOD_ROOT=$DIR/far/root RPOD_STATE=$DIR/far/state RPOD_RUNTIME=$DIR/far/run RPOD_IMAGE_STORES=$DIR/root command "$RPOD" "$@"
}

images() {
    if ! "$RPOD" image exists localhost/bookworm; then
        mmdebstrap --quiet --variant=minbase bookworm "$DIR/bookworm.tar"
        rpod import --quiet "$DIR/bookworm.tar" localhost/bookworm
        rm "$DIR/bookworm.tar"
    fi
    local image
    for image in db web; do
        rpod build -t "localhost/wordpress-$image" "$here/$image" >"$DIR/build-$image.log" 2>&1 || { tail -n 30 "$DIR/build-$image.log"; return 1; }
    done
}

clean() {
    far rm -f -t 0 --ignore db >/dev/null 2>&1
    ! far volume exists wordpress_data 2>/dev/null || far volume rm wordpress_data >/dev/null 2>&1
    ! far network exists wordpress_net 2>/dev/null || far network rm wordpress_net >/dev/null 2>&1
    "$RPOD" rm -f -t 0 --ignore wordpress db >/dev/null
    "$RPOD" volume exists wordpress_data && "$RPOD" volume rm wordpress_data >/dev/null
    "$RPOD" network exists wordpress_net && "$RPOD" network rm wordpress_net >/dev/null
    return 0
}

# Waits for a page that a pattern matches.
await() {
    local end=$((SECONDS + 120))
    until curl --noproxy '*' -sLm 30 "http://127.0.0.1:$PORT/" | grep "$1" >/dev/null; do
        if ((SECONDS > end)) || [ "$("$RPOD" inspect -f '{{.State.Running}}' wordpress)" != true ]; then
            echo "run.sh: no page with '$1' on port $PORT" >&2
            "$RPOD" ps -a >&2
            "$RPOD" logs wordpress >&2
            return 1
        fi
        sleep 0.2
    done
}

title() {
    "${DATABASE_HOST:-rpod}" exec db mariadb -N -e "SELECT option_value FROM wordpress.wp_options WHERE option_name = 'blogname'"
}

# The installation in the browser, then what the database and the site say.
install() {
    await '<body'
    await 'WordPress &rsaquo; Installation'
    mkdir -p "$DIR/screenshots/$1"
    "$here/install.py" "http://127.0.0.1:$PORT/" "Site $1" "$DIR/screenshots/$1"
    [ "$(title)" = "Site $1" ]
    await "<title>Site $1</title>"
}

# By name on a network of the user's, and the site outlives its containers.
named() {
    rpod network create wordpress_net
    rpod run -d --name db --network wordpress_net -v wordpress_data:/var/lib/mysql "${DATABASE[@]}" localhost/wordpress-db
    rpod run -d --name wordpress --network wordpress_net -p "127.0.0.1:$PORT:80" -e WORDPRESS_DB_HOST=db "${SITE[@]}" localhost/wordpress-web
    install named
    rpod stop wordpress db
    rpod rm db
    rpod run -d --name db --network wordpress_net -v wordpress_data:/var/lib/mysql "${DATABASE[@]}" localhost/wordpress-db
    rpod start wordpress
    await '<title>Site named</title>'
}

link() {
    rpod run -d --name db --network bridge -v wordpress_data:/var/lib/mysql "${DATABASE[@]}" localhost/wordpress-db
    rpod run -d --name wordpress --network bridge --link db:mysql -p "127.0.0.1:$PORT:80" "${SITE[@]}" localhost/wordpress-web
    install link
}

# Both in one network namespace: the database's container publishes the site's port.
container() {
    rpod run -d --name db -p "127.0.0.1:$PORT:80" -v wordpress_data:/var/lib/mysql "${DATABASE[@]}" localhost/wordpress-db
    rpod run -d --name wordpress --network container:db -e WORDPRESS_DB_HOST=127.0.0.1 "${SITE[@]}" localhost/wordpress-web
    install container
}

# The database on one host, the site on another, and one network over both.
overlay() {
    local own other
    own=$(free_port) other=$(free_port)
    rpod network create -d overlay -o address=127.0.0.1 -o "port=$own" -o "peer=127.0.0.1:$other" wordpress_net
    far network create -d overlay -o address=127.0.0.1 -o "port=$other" -o "peer=127.0.0.1:$own" wordpress_net
    far run -d --name db --network wordpress_net -v wordpress_data:/var/lib/mysql "${DATABASE[@]}" localhost/wordpress-db
    rpod run -d --name wordpress --network wordpress_net -p "127.0.0.1:$PORT:80" -e WORDPRESS_DB_HOST=db "${SITE[@]}" localhost/wordpress-web
    DATABASE_HOST=far install overlay
}

images
for case in "${@:-named link container overlay}"; do
    for case in $case; do
        clean
        echo "== $case"
        "$case"
        clean
        echo "== $case: done"
    done
done
