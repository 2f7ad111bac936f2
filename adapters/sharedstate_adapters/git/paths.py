"""Looking up and changing paths in a tree of objects: only the folders on the way are written anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sharedstate_adapters.git.objects import Item, Objects, Tree

Path = tuple[str, ...]


def found(objects: Objects, root: str, path: Path) -> Item | None:
    """What stands at a path below the tree `root` ("" for none)."""
    item = Item(mode="40000", oid=root)
    for name in path:
        if not item.is_tree:
            return None
        below = objects.tree(item.oid).get(name)
        if below is None:
            return None
        item = below
    return item


def folder(objects: Objects, root: str, path: Path) -> Tree:
    """The names in the folder at a path; empty when there is none."""
    item = found(objects, root, path)
    return {} if item is None or not item.is_tree else objects.tree(item.oid)


def files(objects: Objects, root: str, path: Path) -> Iterator[tuple[Path, Item]]:
    """Every file below a folder, with its path from there."""
    for name, item in sorted(folder(objects, root, path).items()):
        if item.is_tree:
            for below, file in files(objects, item.oid, ()):
                yield (name, *below), file
        else:
            yield (name,), item


def changed(objects: Objects, root: str, changes: Mapping[Path, Item | None]) -> str:
    """A tree with the files of `changes` put in place of what `root` has there; None removes. Returns its name."""
    tree = dict(objects.tree(root))
    deeper: dict[str, dict[Path, Item | None]] = {}
    for path, item in changes.items():
        name, *rest = path
        if rest:
            deeper.setdefault(name, {})[tuple(rest)] = item
        elif item is None:
            tree.pop(name, None)
        else:
            tree[name] = item
    for name, below in deeper.items():
        was = tree.get(name)
        oid = changed(objects, was.oid if was is not None and was.is_tree else "", below)
        if oid:
            tree[name] = Item(mode="40000", oid=oid)
        else:
            tree.pop(name, None)
    return objects.write_tree(tree)
