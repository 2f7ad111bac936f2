-- A transition in one statement: what was decided upon is compared with what there is, and changed only if it is the same.
-- The first row of the answer says whether it was done, and what there was; when not, a row for each other record that
-- the decision has looked at follows. It never waits for the lock of a record: whoever finds it taken is told so
-- (`free`), and what was committed last. The plans of these statements are kept by the server's session, not by a client;
-- each is made once, and goes by the indexes however small a table was then.
CREATE FUNCTION change(request jsonb)
RETURNS TABLE (
    done boolean, free boolean, now_ms bigint, level bigint,
    revision bigint, live bigint, value text, fence bigint, at_ms bigint
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET plan_cache_mode TO force_generic_plan
SET enable_seqscan TO off
AS $$
#variable_conflict use_column
DECLARE
    q record;
    other record;
    head bigint;
    event text;
    others_same boolean := true;
BEGIN
    SELECT * INTO q FROM jsonb_to_record(request) AS asked (
        level bigint, lock bigint, collection text, key text,
        was_revision bigint, was_live bigint, was_value text, was_fence bigint, was_at_ms bigint, others jsonb,
        moment_ms bigint, not_after_ms bigint, wait_ms bigint, durable boolean,
        writes text, revision bigint, live bigint, value text, signs text, nonce uuid,
        journal text, transition text, events text[], channel text
    );
    -- With another isolation as the habit of a server or a role all that follows would be of a snapshot older than the
    -- lock. As with a read-only habit the caller is sent the other way, where the transaction says what it is.
    free := pg_try_advisory_xact_lock(q.lock)
        AND current_setting('transaction_isolation') = 'read committed'
        AND current_setting('transaction_read_only') = 'off';
    level := (SELECT count(*) FROM migrations);
    SELECT r.revision, r.live, r.value INTO revision, live, value
    FROM records r WHERE r.collection = q.collection AND r.key = q.key;
    SELECT b.fence, b.at_ms INTO fence, at_ms
    FROM beats b WHERE b.collection = q.collection AND b.key = q.key;
    IF q.others IS NOT NULL THEN
        FOR other IN SELECT * FROM jsonb_to_recordset(q.others) AS seen (
            lock bigint, collection text, key text,
            revision bigint, live bigint, value text, fence bigint, at_ms bigint
        ) LOOP
            -- Shared: nobody may change it until this transaction ends. Only tried, so nobody waits in a circle.
            free := free AND pg_try_advisory_xact_lock_shared(other.lock);
            others_same := others_same AND (
                SELECT (r.revision, r.live, r.value, b.fence, b.at_ms) IS NOT DISTINCT FROM
                    (other.revision, other.live, other.value, other.fence, other.at_ms)
                FROM (SELECT 1) one
                LEFT JOIN records r ON r.collection = other.collection AND r.key = other.key
                LEFT JOIN beats b ON b.collection = other.collection AND b.key = other.key
            );
        END LOOP;
    END IF;
    now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    done := free AND level = q.level AND now_ms BETWEEN q.moment_ms AND q.not_after_ms AND others_same
        AND revision IS NOT DISTINCT FROM q.was_revision AND live IS NOT DISTINCT FROM q.was_live
        AND value IS NOT DISTINCT FROM q.was_value
        AND fence IS NOT DISTINCT FROM q.was_fence AND at_ms IS NOT DISTINCT FROM q.was_at_ms;
    RETURN NEXT;
    IF NOT done THEN
        FOR revision, live, value, fence, at_ms IN
            SELECT r.revision, r.live, r.value, b.fence, b.at_ms
            FROM jsonb_array_elements(coalesce(q.others, '[]')) WITH ORDINALITY AS seen (one, number)
            LEFT JOIN records r ON r.collection = seen.one ->> 'collection' AND r.key = seen.one ->> 'key'
            LEFT JOIN beats b ON b.collection = seen.one ->> 'collection' AND b.key = seen.one ->> 'key'
            ORDER BY seen.number
        LOOP
            RETURN NEXT;
        END LOOP;
        RETURN;
    END IF;
    PERFORM set_config('lock_timeout', least(q.wait_ms, q.not_after_ms - now_ms + 1)::text, true);
    IF NOT q.durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSIF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF q.writes = 'insert' THEN
        INSERT INTO records (collection, key, revision, live, value)
        VALUES (q.collection, q.key, q.revision, q.live, q.value);
    ELSIF q.writes = 'update' THEN
        UPDATE records r SET revision = q.revision, live = q.live, value = q.value
        WHERE r.collection = q.collection AND r.key = q.key;
    ELSIF q.writes = 'delete' THEN
        DELETE FROM records r WHERE r.collection = q.collection AND r.key = q.key;
    END IF;
    IF q.signs = '+' THEN
        INSERT INTO beats AS b (collection, key, fence, at_ms) VALUES (q.collection, q.key, q.live, q.moment_ms)
        ON CONFLICT (collection, key) DO UPDATE SET fence = excluded.fence, at_ms = excluded.at_ms;
    ELSIF q.signs = '-' THEN
        DELETE FROM beats b WHERE b.collection = q.collection AND b.key = q.key;
    END IF;
    IF q.nonce IS NOT NULL THEN
        INSERT INTO nonces (nonce) VALUES (q.nonce);
    END IF;
    IF q.events IS NOT NULL THEN
        INSERT INTO journals AS j (name, last) VALUES (q.journal, cardinality(q.events))
        ON CONFLICT (name) DO UPDATE SET last = j.last + excluded.last RETURNING last INTO head;
        head := head - cardinality(q.events);
        FOREACH event IN ARRAY q.events LOOP
            head := head + 1;
            INSERT INTO entries (journal, sequence, at_ms, record, value)
            VALUES (q.journal, head, q.moment_ms, q.transition, event);
        END LOOP;
        PERFORM pg_notify(q.channel, q.journal);
    END IF;
END $$;
