-- Records, beats, journals, and the marks of changes that were made. Every name stands in the schema of the store.

-- One row for each record. `value` is canonical JSON, kept as text: the database's own JSON type would change numbers.
-- `live` is the fence of the living ownership.
CREATE TABLE records (
    collection text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    revision   bigint NOT NULL CHECK (revision BETWEEN 1 AND 9007199254740991),
    live       bigint CHECK (live BETWEEN 0 AND 9007199254740991),
    value      text NOT NULL,
    PRIMARY KEY (collection, key)
) WITH (fillfactor = 70);

CREATE INDEX records_live ON records (collection, key) WHERE live IS NOT NULL;

-- The last sign of life of an ownership, in Unix milliseconds of this server. Rewritten often, hence beside the records.
CREATE TABLE beats (
    collection text COLLATE "C" NOT NULL,
    key        text COLLATE "C" NOT NULL,
    fence      bigint NOT NULL,
    at_ms      bigint NOT NULL,
    PRIMARY KEY (collection, key)
) WITH (fillfactor = 50);

-- One row for each journal: whoever appends holds it until the end of the transaction, so sequences have no gaps.
CREATE TABLE journals (
    name text COLLATE "C" PRIMARY KEY,
    last bigint NOT NULL CHECK (last >= 0)
) WITH (fillfactor = 50);

CREATE TABLE entries (
    journal  text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    at_ms    bigint NOT NULL,
    record   text NOT NULL,
    value    text NOT NULL,
    PRIMARY KEY (journal, sequence)
);

-- The mark of one change, written with it: whoever lost the answer finds it here. Old ones are removed.
CREATE TABLE nonces (
    nonce  uuid PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    result bigint
);

CREATE INDEX nonces_at ON nonces (at);

-- Values that could not be read and were replaced.
CREATE TABLE kept (
    collection text NOT NULL,
    key        text NOT NULL,
    revision   bigint NOT NULL,
    value      text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
