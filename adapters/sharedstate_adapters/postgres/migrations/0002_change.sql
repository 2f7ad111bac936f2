-- A transition in one statement: what was decided upon is compared with what there is, and changed only if it is the same.
-- The first row of the answer says whether it was done, and what there was; when not, a row for each other record that
-- the decision has looked at follows. It never waits for the lock of a record: whoever finds it taken is told so
-- (`free`), and what was committed last. The plans of these statements are kept by the server's session, not by a client;
-- each is made once, and goes by the indexes however small a table was then.
CREATE FUNCTION change(
    the_level bigint, the_lock bigint, the_collection text, the_key text,
    was_revision bigint, was_live bigint, was_value text, was_fence bigint, was_at_ms bigint,
    other_locks bigint[], other_collections text[], other_keys text[],
    other_revisions bigint[], other_lives bigint[], other_values text[], other_fences bigint[], other_at_ms bigint[],
    moment_ms bigint, not_after_ms bigint, wait_ms bigint, is_durable boolean,
    writes text, new_revision bigint, new_live bigint, new_value text, signs text, the_nonce uuid,
    the_journal text, the_transition text, the_events text[], the_channel text
)
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
    number integer;
    head bigint;
    event text;
    others_same boolean := true;
BEGIN
    -- With another isolation as the habit of a server or a role all that follows would be of a snapshot older than the
    -- lock. As with a read-only habit the caller is sent the other way, where the transaction says what it is.
    free := pg_try_advisory_xact_lock(the_lock)
        AND current_setting('transaction_isolation') = 'read committed'
        AND current_setting('transaction_read_only') = 'off';
    level := (SELECT count(*) FROM migrations);
    SELECT r.revision, r.live, r.value INTO revision, live, value
    FROM records r WHERE r.collection = the_collection AND r.key = the_key;
    SELECT b.fence, b.at_ms INTO fence, at_ms
    FROM beats b WHERE b.collection = the_collection AND b.key = the_key;
    FOR number IN 1 .. coalesce(cardinality(other_keys), 0) LOOP
        -- Shared: nobody may change it until this transaction ends. Only tried, so nobody waits in a circle.
        free := free AND pg_try_advisory_xact_lock_shared(other_locks[number]);
        others_same := others_same AND (
            SELECT (r.revision, r.live, r.value, b.fence, b.at_ms) IS NOT DISTINCT FROM
                (other_revisions[number], other_lives[number], other_values[number],
                 other_fences[number], other_at_ms[number])
            FROM (SELECT 1) one
            LEFT JOIN records r ON r.collection = other_collections[number] AND r.key = other_keys[number]
            LEFT JOIN beats b ON b.collection = other_collections[number] AND b.key = other_keys[number]
        );
    END LOOP;
    now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    done := free AND level = the_level AND now_ms BETWEEN moment_ms AND not_after_ms AND others_same
        AND revision IS NOT DISTINCT FROM was_revision AND live IS NOT DISTINCT FROM was_live
        AND value IS NOT DISTINCT FROM was_value
        AND fence IS NOT DISTINCT FROM was_fence AND at_ms IS NOT DISTINCT FROM was_at_ms;
    RETURN NEXT;
    IF NOT done THEN
        FOR number IN 1 .. coalesce(cardinality(other_keys), 0) LOOP
            SELECT r.revision, r.live, r.value, b.fence, b.at_ms INTO revision, live, value, fence, at_ms
            FROM (SELECT 1) one
            LEFT JOIN records r ON r.collection = other_collections[number] AND r.key = other_keys[number]
            LEFT JOIN beats b ON b.collection = other_collections[number] AND b.key = other_keys[number];
            RETURN NEXT;
        END LOOP;
        RETURN;
    END IF;
    PERFORM set_config('lock_timeout', least(wait_ms, not_after_ms - now_ms + 1)::text, true);
    IF NOT is_durable THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    ELSIF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    IF writes = 'insert' THEN
        INSERT INTO records (collection, key, revision, live, value)
        VALUES (the_collection, the_key, new_revision, new_live, new_value);
    ELSIF writes = 'update' THEN
        UPDATE records r SET revision = new_revision, live = new_live, value = new_value
        WHERE r.collection = the_collection AND r.key = the_key;
    ELSIF writes = 'delete' THEN
        DELETE FROM records r WHERE r.collection = the_collection AND r.key = the_key;
    END IF;
    IF signs = '+' THEN
        INSERT INTO beats AS b (collection, key, fence, at_ms) VALUES (the_collection, the_key, new_live, moment_ms)
        ON CONFLICT (collection, key) DO UPDATE SET fence = excluded.fence, at_ms = excluded.at_ms;
    ELSIF signs = '-' THEN
        DELETE FROM beats b WHERE b.collection = the_collection AND b.key = the_key;
    END IF;
    IF the_nonce IS NOT NULL THEN
        INSERT INTO nonces (nonce) VALUES (the_nonce);
    END IF;
    IF the_events IS NOT NULL THEN
        INSERT INTO journals AS j (name, last) VALUES (the_journal, cardinality(the_events))
        ON CONFLICT (name) DO UPDATE SET last = j.last + excluded.last RETURNING last INTO head;
        head := head - cardinality(the_events);
        FOREACH event IN ARRAY the_events LOOP
            head := head + 1;
            INSERT INTO entries (journal, sequence, at_ms, record, value)
            VALUES (the_journal, head, moment_ms, the_transition, event);
        END LOOP;
        PERFORM pg_notify(the_channel, the_journal);
    END IF;
END $$;
